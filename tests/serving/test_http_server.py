"""The HTTP server, in a thread of this process; tests/exports/test_server.py starts processes."""

import base64
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import requests
import servers
from click.testing import CliRunner
from numpy.typing import NDArray

from benchmarks import networks
from benchmarks.model_servers import png_that_claims
from seedlings import images
from seedlings.cli import cli
from seedlings.networks import architectures
from seedlings.serving import http_server
from seedlings.serving.http_requests import Limits
from seedlings.serving.inference import Inference
from seedlings.serving.predictor import Predictor
from seedlings.tasks import TASKS

SEGMENT = {"method": "none", "background": "black", "pixels": [8, 8], "fit": "stretch"}
SEGMENT["empty_below"] = 0.0
CONTENTS = SimpleNamespace(
    task="multiclass",
    answers="classes",
    outputs=["a", "b"],
    segment=SEGMENT,
    tag_threshold=0.5,
    largest_distance=1.0,
    share_within=0.99,
)
RNG = np.random.default_rng(3)
PICTURES = [
    images.encode_png(RNG.integers(0, 256, (40 + n, 50, 3), dtype=np.uint8)) for n in range(3)
]
BASE64 = [base64.b64encode(picture).decode() for picture in PICTURES]


class Network:
    """A network of the mean brightness, which can be made to wait or to fail."""

    def __init__(self) -> None:
        self.may_run = threading.Event()
        self.may_run.set()
        self.fails = False

    def __call__(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        self.may_run.wait()
        if self.fails:
            raise RuntimeError("it fails")
        bright = batch.reshape(len(batch), -1).mean(axis=1, dtype=np.float32) / 255
        return [np.stack([bright, 1 - bright], axis=1), np.zeros((len(batch), 1), np.float32)]


Start = Callable[..., str]


@pytest.fixture
def start(network: Network) -> Iterator[Start]:
    """Start a server of the network with a card and limits; gives its address."""
    with ExitStack() as running:

        def make(card: str = "", **limits: int) -> str:
            inference = Inference(CONTENTS, SimpleNamespace(**SEGMENT), network)
            app = http_server.app(inference, "numpy", card, Limits(**limits))
            return running.enter_context(servers.in_thread(app))

        yield make
        network.may_run.set()


@pytest.fixture
def network() -> Network:
    return Network()


def predict(address: str, data: bytes = PICTURES[0]) -> requests.Response:
    return requests.post(f"{address}/predict", data=data, headers={"Content-Type": "image/png"})


def predict_json(address: str, value: Any) -> requests.Response:
    return requests.post(f"{address}/predict", json=value)


def predict_files(address: str, **files: bytes) -> requests.Response:
    return requests.post(f"{address}/predict", files=[("file", item) for item in files.items()])


def metric(address: str, name: str) -> float:
    text = requests.get(f"{address}/metrics").text
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("task", ["multiclass", "binary", "multilabel", "regression"])
def test_every_form_of_a_request_has_the_answers_of_the_command_predict(
    task: str, tmp_path: Path
) -> None:
    units = 1 if task in ("binary", "regression") else 3
    names = {"binary": ["a", "b"], "regression": ["value"]}.get(task, ["ä", "b", "c"])
    segment = {**SEGMENT, "pixels": [20, 24], "method": "excess_green", "empty_below": 0.01}
    model = architectures.baseline((20, 24, 3), units, TASKS[task])
    networks.package(model, networks.contents(task, names, segment), tmp_path / "package")
    for number, picture in enumerate(PICTURES):
        (tmp_path / f"{number}.png").write_bytes(picture)
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    options = ["--json", "--engine", "tensorflow", "--model", str(tmp_path / "package")]
    printed = CliRunner().invoke(cli, ["predict", *options, *paths], catch_exceptions=False)
    expected = json.loads(printed.stdout)
    predictor = Predictor(tmp_path / "package")
    app = http_server.app(predictor, predictor.engine, "", Limits())
    with servers.in_thread(app) as address:
        forms = {
            "files": predict_files(address, **{f"{n}.png": p for n, p in enumerate(PICTURES)}),
            "base64": predict_json(address, {"images": BASE64}),
            "data URIs": predict_json(
                address, {"images": [f"data:image/png;base64,{text}" for text in BASE64]}
            ),
        }
        singles = [predict(address, picture) for picture in PICTURES]
        plain = requests.post(f"{address}/predict", data=PICTURES[0])
    for answer in (*forms.values(), *singles, plain):
        assert answer.status_code == 200
    rows = {name: answer.json()["predictions"] for name, answer in forms.items()}
    assert [list(row) for row in rows["files"]] == [list(row) for row in expected]
    rows["bytes"] = [row for answer in singles for row in answer.json()["predictions"]]
    assert plain.json()["predictions"] == rows["bytes"][:1]
    for form, found in rows.items():
        for row, other in zip(found, expected, strict=True):
            assert row["path"] == (Path(other["path"]).name if form == "files" else None)
            assert numbers(row) == pytest.approx(numbers(other), abs=1e-6)
            assert (row["out_of_distribution"], row["engine"]) == ("", "tensorflow")
            if task != "regression":
                assert row["prediction"] == other["prediction"]
                assert list(row["probabilities"]) == names


def numbers(row: dict[str, Any]) -> list[float]:
    return [*row.get("probabilities", {"": row["prediction"]}).values()]


def test_images_that_cannot_be_decoded_are_named_by_number_and_file(start: Start) -> None:
    answer = predict_files(
        start(), **{"a.png": PICTURES[0], "notes.txt": b"notes", "b.png": PICTURES[1][:300]}
    )
    assert answer.status_code == 400
    assert answer.json() == {
        "detail": "image 1 (notes.txt): expected an image, found 5 bytes of something else, "
        "beginning b'notes'; image 2 (b.png): expected a whole image, found a truncated or "
        "damaged one (it ends before its last chunk does)"
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "found damaged JSON"),
        (b"{", "found damaged JSON"),
        (b"\xff\x00", "found damaged JSON"),
        (b"[" * 3000, "found damaged JSON"),
        (b"[]", "found other JSON"),
        (b'{"images": "iVBO"}', "found other JSON"),
        (b'{"images": [], "model": "b"}', "found other JSON"),
        (b'{"images": []}', "found none"),
        (b'{"images": [5]}', "image 0 is not: it has the type int"),
        (b'{"images": ["", null]}', "image 1 is not: it has the type NoneType"),
        (b'{"images": ["/etc/host-name"]}', "image 0 is not: Only base64 data is allowed"),
        (b'{"images": ["\\ud800"]}', "image 0 is not: 'ascii' codec can't encode"),
        (b'{"images": [' + b"{}," * 100_000 + b"{}]}", "found too many values in JSON"),
    ],
)
def test_other_json_is_refused_with_the_forms_that_are_expected(
    body: bytes, message: str, start: Start
) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = requests.post(f"{start()}/predict", data=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("expected image files as multipart/form-data")
    assert message in answer.json()["detail"]


PART = b'--x\r\nContent-Disposition: form-data; name="a"'


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("image/png", b"", "found none"),
        ("multipart/form-data", b"", "Missing boundary"),
        ("multipart/form-data; boundary=x", b"noise", "Invalid multipart data"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", "found none"),
        (
            "multipart/form-data; boundary=x",
            PART + b"\r\n\r\niVBO\r\n--x--\r\n",
            "found text in the field 'a'",
        ),
        (
            "multipart/form-data; boundary=x; charset=undefined",
            PART + b"\r\n\r\niVBO\r\n--x--\r\n",
            "found another form",
        ),
        (
            "multipart/form-data; boundary=x; charset=utf-7",
            PART + b'; filename="+2AA-.png"\r\n\r\niVBO\r\n--x--\r\n',
            r"image 0 (\ud800.png): expected an image",
        ),
        (
            "multipart/form-data; boundary=x",
            (PART + b'; filename="a"\r\n\r\n\r\n') * 1001 + b"--x--\r\n",
            "Too many files",
        ),
    ],
)
def test_other_forms_are_refused(kind: str, body: bytes, message: str, start: Start) -> None:
    headers = {"Content-Type": kind}
    answer = requests.post(f"{start()}/predict", data=body, headers=headers)
    assert answer.status_code == 400
    assert message in answer.json()["detail"]


def chunks(count: int) -> Iterator[bytes]:
    yield from [b"x" * 1000] * count


@pytest.mark.parametrize(
    ("limits", "ask", "status", "message"),
    [
        ({"body": 9999}, lambda a: predict(a, b"x" * 10_000), 413, "at most 9,999 bytes"),
        ({"body": 9999}, lambda a: predict(a, chunks(10)), 413, "at most 9,999 bytes"),
        ({"images": 1}, lambda a: predict_json(a, {"images": BASE64[:2]}), 413, "1 images, found"),
        ({"images": 1}, lambda a: predict_files(a, a=b"", b=b""), 413, "1 images, found 2"),
        (
            {"pixels": 399},
            lambda a: predict(a, png_that_claims(20, 20)),
            400,
            "image 0: expected at most 399 pixels, found 400",
        ),
    ],
)
def test_a_request_beyond_a_limit_is_refused(
    limits: dict[str, int], ask: Any, status: int, message: str, start: Start
) -> None:
    address = start(**limits)
    answer = ask(address)
    assert answer.status_code == status
    assert message in answer.json()["detail"]
    assert metric(address, f'seedlings_requests_total{{status="{status}"}}') == 1


def test_a_body_that_is_too_large_is_refused_while_it_arrives(start: Start) -> None:
    address = start(body=5000)
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.sendall(b"1388\r\n" + b"x" * 5000 + b"\r\n")
        client.sendall(b"1\r\nx\r\n")  # and no end
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.005)


def test_a_full_server_answers_503_and_takes_requests_again(start: Start, network: Network) -> None:
    address = start(requests=2)
    network.may_run.clear()
    with ThreadPoolExecutor(2) as clients:
        first = [clients.submit(predict, address) for _ in range(2)]
        until(lambda: metric(address, "seedlings_requests_in_progress") == 2)
        refused = predict(address)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "1"
        network.may_run.set()
        assert [answer.result().status_code for answer in first] == [200, 200]
    assert predict(address).status_code == 200
    assert metric(address, "seedlings_requests_in_progress") == 0


def test_bodies_in_memory_are_limited_together(start: Start, network: Network) -> None:
    address = start(body=10_000)
    network.may_run.clear()
    padded = PICTURES[0] + bytes(9_900 - len(PICTURES[0]))
    with ThreadPoolExecutor(4) as clients:
        first = [clients.submit(predict, address, padded) for _ in range(4)]
        until(lambda: metric(address, "seedlings_requests_in_progress") == 4)
        assert predict(address).status_code == 503
        network.may_run.set()
        assert {answer.result().status_code for answer in first} == {200}
    assert predict(address).status_code == 200


def test_a_request_that_takes_too_long_is_answered_and_the_next_one_too(
    start: Start, network: Network
) -> None:
    address = start(seconds=1)
    network.may_run.clear()
    answer = predict(address)
    assert answer.status_code == 504
    assert answer.json()["detail"] == "expected an answer within 1 s, found none"
    network.may_run.set()
    assert predict(address).status_code == 200


def test_a_request_that_does_not_arrive_is_answered(start: Start) -> None:
    address = start(seconds=1)
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
        assert client.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_goes_leaves_nothing(start: Start) -> None:
    address = start()
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
        until(lambda: metric(address, "seedlings_requests_in_progress") == 1)
    until(lambda: metric(address, 'seedlings_requests_total{status="499"}') == 1)
    assert metric(address, "seedlings_requests_in_progress") == 0
    assert predict(address).status_code == 200


def test_a_network_that_fails_ends_no_server(start: Start, network: Network) -> None:
    address = start()
    network.fails = True
    answer = predict(address)
    assert answer.status_code == 500
    assert answer.json() == {"detail": "the server failed; its log has the reason"}
    network.fails = False
    assert predict(address).status_code == 200


def test_large_images_are_decoded_one_at_a_time(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: list[int] = []
    most: list[int] = []

    class Slow(Inference):
        def decode(self, data: bytes) -> images.Image:
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()
            return super().decode(data)

    monkeypatch.setattr(http_server, "_LARGE", 0)
    inference = Slow(CONTENTS, SimpleNamespace(**SEGMENT), network)
    with servers.in_thread(http_server.app(inference, "numpy", "", Limits())) as address:
        assert predict_json(address, {"images": BASE64 * 4}).status_code == 200
    assert most == [1] * 12


def test_requests_are_counted(start: Start) -> None:
    address = start()
    for _ in range(2):
        predict_json(address, {"images": BASE64})
    predict(address, b"noise")
    assert metric(address, 'seedlings_requests_total{status="200"}') == 2
    assert metric(address, 'seedlings_requests_total{status="400"}') == 1
    assert metric(address, "seedlings_images_total") == 6
    assert metric(address, "seedlings_request_seconds_count") == 2
    assert metric(address, "process_resident_memory_bytes") > 0


def test_the_server_says_that_it_is_ready(start: Start) -> None:
    answer = requests.get(f"{start()}/health")
    assert answer.json() == {"status": "ok", "task": "multiclass", "engine": "numpy"}


def test_the_first_page_is_the_card(start: Start) -> None:
    card = "---\ntags: [x]\n---\n\n# A < B\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n## Out of it\n"
    address = start(card=card)
    page = requests.get(address)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "<title>A &lt; B</title>" in page.text
    assert "<td>2</td>" in page.text
    assert '<h2 id="out-of-it">Out of it</h2>' in page.text
    assert "tags" not in page.text
    assert f"curl -F file=@leaf.jpg {address}/predict" in page.text


def test_the_requests_are_described_without_a_page_that_loads_scripts(start: Start) -> None:
    address = start()
    described = requests.get(f"{address}/openapi.json").json()["paths"]["/predict"]["post"]
    assert set(described["requestBody"]["content"]) == {
        *("multipart/form-data", "application/json", "image/*")
    }
    assert [requests.get(address + path).status_code for path in ("/docs", "/redoc")] == [404, 404]


def test_200_clients_at_once_are_answered_or_told_to_try_again(start: Start) -> None:
    address = start(requests=8)
    together = threading.Barrier(200)

    def ask(number: int) -> int:
        together.wait()
        answer = predict(address, PICTURES[number % 3])
        assert "predictions" in answer.json() or answer.headers["Retry-After"]
        return answer.status_code

    with ThreadPoolExecutor(200) as clients:
        found = Counter(clients.map(ask, range(200)))
    assert set(found) <= {200, 503}
    assert found[200] >= 8
    assert predict(address).status_code == 200


def test_a_server_that_ends_leaves_no_thread(network: Network) -> None:
    inference = Inference(CONTENTS, SimpleNamespace(**SEGMENT), network)
    before = threading.active_count()
    with servers.in_thread(http_server.app(inference, "numpy", "", Limits())) as address:
        assert predict(address).status_code == 200
        assert threading.active_count() > before + 1
    assert threading.active_count() == before


def test_limits_can_be_changed() -> None:
    found = Limits().changed(["images=100", "seconds=5"])
    assert (found.images, found.seconds, found.body) == (100, 5, Limits().body)


@pytest.mark.parametrize("change", ["images", "images=", "images=0", "images=-1", "size=3", "=1"])
def test_other_limits_are_refused(change: str) -> None:
    with pytest.raises(ValueError, match=f"expected one of body, images, .*; found {change}$"):
        Limits().changed([change])
