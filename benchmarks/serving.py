"""Images/s of `predict`, the time to a first answer, and the latency of the model server."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import requests

from benchmarks import networks
from benchmarks.measure import compare, in_turns, print_rates, seconds, seedlings, self_timed
from benchmarks.project import environment
from seedlings import images, params, presets
from seedlings.data import sample
from seedlings.io.files import remove
from seedlings.networks import backbones
from seedlings.serving import predictions
from seedlings.serving.predictor import Predictor
from seedlings.tasks import TASKS

_START = 300.0  # seconds in which the server has to listen
_NAMES = [species.name for species in sample.SPECIES]
_COMMAND = "from seedlings import cli; cli.main()"


def main(*, small: bool) -> None:
    presets_ = (
        {"digits": ["digits"]}
        if small
        else {"vgg16": ["sample", "model=vgg16"], "digits": ["digits"]}
    )
    for name, preset in presets_.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            _package(preset, root / "package")
            print(f"{name}:")
            predict(root, 20 if small else 500, 1 if small else 3)
            answer(root, requests_=2 if small else 32)


def _package(preset: list[str], path: Path) -> None:
    """Write a package of the preset's network with random weights."""
    settings = params.check(presets.compose(preset))
    task = TASKS[settings.task]
    backbone = backbones.build(settings.extract, *settings.segment.pixels)
    model = networks.classifier(backbone, len(_NAMES), task, settings.finetune)
    contents = networks.contents(
        settings.task, _NAMES, settings.segment.model_dump(), portable=settings.portable
    )
    networks.package(model, contents, path)


def predict(root: Path, count: int, rounds: int) -> None:
    """Compare `predict --output` with a table in memory, and the first answer with a start."""
    (root / "images").mkdir()
    for number, picture in enumerate(seedlings(count)):
        (root / "images" / f"{number}.png").write_bytes(images.encode_png(picture))
    predictor = Predictor(root / "package")

    def in_memory() -> float:
        return seconds(lambda: predictions.of_files(predictor, [root / "images"]))

    def output() -> float:
        """Return the seconds without the start of the process, from the rate that it prints."""
        remove(root / "answers")
        printed = _predict(root, "images", "--output", "answers")
        return count / float(re.findall(r"([\d.]+) images/s", printed)[0])

    rates = self_timed({"predict --output": output, "a table in memory": in_memory}, rounds)
    print_rates(rates, count)
    starts = in_turns(
        {
            "the first answer": partial(_predict, root, "images/0.png"),
            "import keras": partial(_python, root, "import keras"),
        },
        rounds,
    )
    print(f"the first answer in a new process: {np.median(starts['the first answer']):.1f} s")
    compare(starts, "the first answer", "import keras", 0.5)


def _predict(root: Path, *arguments: str) -> str:
    return _python(root, _COMMAND, "predict", *arguments, "--model", "package")


def _python(root: Path, code: str, *arguments: str) -> str:
    """Return what a Python process with some code prints."""
    command = (sys.executable, "-c", code, *arguments)
    done = subprocess.run(command, cwd=root, env=environment(), check=True, capture_output=True)
    return done.stdout.decode()


def answer(root: Path, *, requests_: int) -> None:
    """Print the latency of the server for 1 and 16 images, and 1, 4 and 16 clients."""
    titles = ("images", "clients", "p50 ms", "p95 ms", "network", "lost")
    print("".join(f"{title:>9}" for title in titles))
    predictor = Predictor(root / "package")
    with _server(root) as port:
        for count in (1, 16):
            for clients in (1, 4, 16):
                _report(predictor, port, count, clients, max(3, requests_ // clients))


@contextmanager
def _server(folder: Path) -> Iterator[int]:
    """Serve `package` in a folder; give the port. The server and all that it started end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = ("serve", "--model", str(folder / "package"), "--port", str(port))
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            (sys.executable, "-c", _COMMAND, *command),
            cwd=folder,
            env=environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,  # a group of its own, which ends as a whole
        )
    try:
        _wait(server, port, log)
        yield port
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until the server answers; exit with its log if it does not."""
    end = time.monotonic() + _START
    while server.poll() is None and time.monotonic() < end:
        try:
            if requests.get(f"http://127.0.0.1:{port}/ping", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    sys.exit(f"expected a server on port {port}, found none:\n{log.read_text(encoding='utf-8')}")


def _report(predictor: Predictor, port: int, count: int, clients: int, each: int) -> None:
    """Send requests of `count` images from some clients at once; print a line."""
    pictures = [sample.draw_numbered(n % 12, n, seed=1, size=150)[0] for n in range(count)]
    cells = [[base64.b64encode(images.encode_png(picture)).decode()] for picture in pictures]
    body: dict[str, Any] = {"dataframe_split": {"columns": ["image"], "data": cells}}
    address = f"http://127.0.0.1:{port}/invocations"
    times: list[float] = []
    lost: list[int] = []

    def ask() -> None:
        with requests.Session() as session:
            for _ in range(each):
                start = time.perf_counter()
                answer = session.post(address, json=body, timeout=600)
                times.append(time.perf_counter() - start)
                if answer.status_code != 200 or len(answer.json()["predictions"]) != count:
                    lost.append(answer.status_code)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    middle, high = np.quantile(times, [0.5, 0.95]) * 1000
    share = f"{_network(predictor, pictures) / np.quantile(times, 0.5):.0%}" if clients == 1 else ""
    print(f"{count:>9}{clients:>9}{middle:>9.1f}{high:>9.1f}{share:>9}{len(lost):>9}", flush=True)


def _network(predictor: Predictor, pictures: list[images.Image]) -> float:
    """Return the median seconds of the network alone for the pictures."""
    size = predictor.contents.segment["pixels"]
    batch = np.stack([images.resize(picture, *size) for picture in pictures])
    predictor.run(batch)
    return float(np.median(in_turns({"network": lambda: predictor.run(batch)}, 5)["network"]))
