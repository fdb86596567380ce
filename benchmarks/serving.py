"""Latency of the model server, for VGG16 and for a small network."""

import base64
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import requests

from benchmarks import networks
from benchmarks.project import environment
from seedlings import images, params
from seedlings.cli import presets
from seedlings.data import sample
from seedlings.networks import backbones
from seedlings.packaging import bundle
from seedlings.serving.predictor import Predictor
from seedlings.tasks import TASKS

_REQUESTS = 32
_START = 300.0  # seconds in which the server has to listen
_NAMES = [species.name for species in sample.SPECIES]


def main() -> None:
    titles = ("images", "clients", "p50 ms", "p95 ms", "network", "lost")
    print(f"{'':<10}" + "".join(f"{title:>9}" for title in titles))
    for name, preset in (("vgg16", ["sample", "model=vgg16"]), ("digits", ["digits"])):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            _package(preset, root / "package")
            predictor = Predictor(root / "package")
            with _server(root) as port:
                for count in (1, 16):
                    for clients in (1, 4, 16):
                        _report(name, predictor, port, count, clients)


def _package(preset: list[str], path: Path) -> None:
    """Write a package of the preset's network with random weights."""
    settings = params.check(presets.compose(preset))
    task = TASKS[settings.task]
    backbone = backbones.build(settings.extract, *settings.segment.pixels)
    model = networks.classifier(backbone, len(_NAMES), task, settings.finetune)
    contents = bundle.Contents(
        task=settings.task,
        outputs=_NAMES,
        segment=settings.segment.model_dump(),
        tag_threshold=settings.evaluate.tag_threshold,
        in_distribution=(0.0, 1.0),
    )
    bundle.write(model, contents, path)


@contextmanager
def _server(folder: Path) -> Iterator[int]:
    """Serve `package` in a folder; give the port. The server and all that it started end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = ("seedlings", "serve", "--model", str(folder / "package"), "--port", str(port))
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
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
    """Wait until the server answers; exit with its log where it does not."""
    end = time.monotonic() + _START
    while server.poll() is None and time.monotonic() < end:
        try:
            if requests.get(f"http://127.0.0.1:{port}/ping", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    sys.exit(f"expected a server on port {port}, found none:\n{log.read_text(encoding='utf-8')}")


def _report(preset: str, predictor: Predictor, port: int, count: int, clients: int) -> None:
    """Send requests of `count` images from some clients at once; print a line."""
    pictures = [sample.draw_numbered(n % 12, n, seed=1, size=150)[0] for n in range(count)]
    cells = [[base64.b64encode(images.encode_png(picture)).decode()] for picture in pictures]
    body: dict[str, Any] = {"dataframe_split": {"columns": ["image"], "data": cells}}
    address = f"http://127.0.0.1:{port}/invocations"
    times: list[float] = []
    lost = [0]

    def ask() -> None:
        with requests.Session() as session:
            for _ in range(max(3, _REQUESTS // clients)):
                start = time.perf_counter()
                answer = session.post(address, json=body, timeout=600)
                times.append(time.perf_counter() - start)
                if answer.status_code != 200 or len(answer.json()["predictions"]) != count:
                    lost[0] += 1

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    middle, high = np.quantile(times, [0.5, 0.95]) * 1000
    share = f"{_network(predictor, pictures) / np.quantile(times, 0.5):.0%}" if clients == 1 else ""
    print(
        f"{preset:<10}{count:>9}{clients:>9}{middle:>9.1f}{high:>9.1f}{share:>9}{lost[0]:>9}",
        flush=True,
    )


def _network(predictor: Predictor, pictures: list[images.Image]) -> float:
    """Return the median seconds of the network alone for the pictures, after a first run."""
    size = predictor.contents.segment["pixels"]
    batch = np.stack([images.resize(picture, *size) for picture in pictures])
    times = []
    for _ in range(6):
        start = time.perf_counter()
        predictor.run(batch)
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


if __name__ == "__main__":
    main()
