"""The model server, asked as the world asks."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drawings
import numpy as np
import pytest
import requests
import servers
from project import Project

from benchmarks import networks
from seedlings import images
from seedlings.networks import architectures
from seedlings.params import Params
from seedlings.serving.predictor import Predictor
from seedlings.tasks import TASKS

pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def package(tmp_path: Path, params: Params) -> Path:
    """A package of a small network for two classes."""
    model = architectures.baseline((32, 32, 3), 1, TASKS["binary"])
    segment = {**params.segment.model_dump(), "pixels": [32, 32]}
    contents = networks.contents("binary", ["a", "b"], segment)
    networks.package(model, contents, tmp_path / "package")
    return tmp_path / "package"


@pytest.fixture
def address(tmp_path: Path, package: Path) -> Iterator[str]:
    """The address of a server of the package."""
    port = servers.free_port()
    command = ("seedlings", "serve", "--model", str(package), "--port", str(port))
    env = Project(tmp_path).env
    with servers.running(*command, port=port, folder=tmp_path, env=env):
        yield f"http://127.0.0.1:{port}/invocations"
        [folder] = (tmp_path / ".dvc" / "tmp" / "servers").glob("*/model")
    while folder.exists():  # it is removed when the server has ended
        time.sleep(0.01)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def body(*cells: Any, column: str = "image") -> bytes:
    split = {"columns": [column], "data": [[cell] for cell in cells]}
    return json.dumps({"dataframe_split": split}).encode()


PICTURE = images.encode_png(np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8))


def malformed(rng: np.random.Generator) -> tuple[bytes, dict[str, str]]:
    """A request that nobody can answer."""
    noise = rng.bytes(int(rng.integers(1, 400)))
    whole = body(encoded(PICTURE))
    cut = whole[: int(rng.integers(1, len(whole)))]
    choices = [
        (noise, JSON),
        (b"", JSON),
        (cut, JSON),
        (b"[" * int(rng.integers(1, 300)), JSON),
        (json.dumps({"inputs": {"picture": [1]}}).encode(), JSON),
        (json.dumps({"dataframe_split": int(rng.integers(9))}).encode(), JSON),
        (body(encoded(noise)), JSON),
        (body(encoded(PICTURE), encoded(PICTURE[: len(PICTURE) // 2])), JSON),
        (body(encoded(drawings.png_that_claims(20_000, 20_000))), JSON),
        (body(encoded(PICTURE), column="path"), JSON),
        (body(int(rng.integers(100))), JSON),
        (json.dumps({"inputs": [[[1, 2], [3, 4]]]}).encode(), JSON),
        (json.dumps({"instances": [{"image": [encoded(PICTURE)]}]}).encode(), JSON),
        (b"image\n/etc/hostname\n", {"Content-Type": "text/csv"}),
        (body(None), JSON),
        (body(), JSON),
        (body("/etc/hostname"), JSON),
        (PICTURE, {"Content-Type": "image/png"}),
    ]
    return choices[int(rng.integers(len(choices)))]


def test_a_thousand_bad_requests_are_refused_and_the_next_good_one_answered(
    address: str, package: Path
) -> None:
    rng = np.random.default_rng(5)
    with requests.Session() as session:
        for _ in range(1000):
            data, headers = malformed(rng)
            answer = session.post(address, data=data, headers=headers, timeout=600)
            assert 400 <= answer.status_code < 500, (data[:200], answer.status_code, answer.text)
            assert "Traceback" not in answer.text, data[:200]
        answer = session.post(address, data=body(encoded(PICTURE[:300])), headers=JSON, timeout=600)
        assert "image 0: expected a whole image" in answer.text
        answer = session.post(
            address,
            data=body(encoded(drawings.png_that_claims(20_000, 20_000))),
            headers=JSON,
            timeout=600,
        )
        assert "expected at most 150,000,000 pixels, found more" in answer.text
    # MLflow's own reader gives up on this one with a 500 and closes the connection, and lives on.
    assert requests.post(address, data=b"[" * 9999, headers=JSON, timeout=600).status_code >= 400
    uri = f"data:image/png;base64,{encoded(PICTURE)}"
    answer = requests.post(address, data=body(uri), headers=JSON, timeout=600)
    assert answer.status_code == 200
    [row] = answer.json()["predictions"]
    assert row["prediction"] in ("a", "b")
    assert sum(row["probabilities"].values()) == pytest.approx(1.0)
    own = Predictor(package).answer([images.decode(PICTURE)])
    assert [row["prediction"]] == own["prediction"].tolist()
    assert row["probability"] == pytest.approx(own["probability"][0], abs=1e-6)
