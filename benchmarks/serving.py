"""Images/s of `predict`, the time to a first answer, and both model servers, side by side."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import requests

from benchmarks import networks
from benchmarks.measure import compare, in_turns, print_rates, seconds, seedlings, self_timed
from benchmarks.model_servers import COMMAND, JSON, PICTURE, SERVERS, ModelServer, encoded, running
from benchmarks.project import environment
from seedlings import images, params, presets
from seedlings.config import paths
from seedlings.data import sample
from seedlings.io import split_table
from seedlings.io.files import remove
from seedlings.networks import backbones
from seedlings.serving import predictions
from seedlings.serving.predictor import Predictor
from seedlings.tasks import TASKS

_NAMES = [species.name for species in sample.SPECIES]


def main(*, small: bool) -> None:
    for name in ("digits",) if small else ("sample", "digits"):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            _package(name, root / "package")
            print(f"{name}:")
            predict(root, 20 if small else 500, 1 if small else 3)
            if small:
                answer(root, requests_=2, rounds=1, malformed=100)
            else:
                answer(root, requests_=32, rounds=3, malformed=10_000)


def _package(preset: str, path: Path) -> None:
    """Write a package of the preset's network, of which the head has random weights."""
    settings = params.check(presets.compose([preset]))
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
    return _python(root, COMMAND, "predict", *arguments, "--model", "package")


def _python(root: Path, code: str, *arguments: str) -> str:
    """Return what a Python process with some code prints."""
    command = (sys.executable, "-c", code, *arguments)
    done = subprocess.run(command, cwd=root, env=environment(), check=True, capture_output=True)
    return done.stdout.decode()


def answer(root: Path, *, requests_: int, rounds: int, malformed: int) -> None:
    """Print the speed and the memory of both servers, and what nonsense, crowds and kills do."""
    _write_test_images(root)
    with ExitStack() as started:
        servers = {
            name: _Running(name, *_start(started, server, root)) for name, server in SERVERS.items()
        }
        for server in servers.values():
            print(f"{server.name}: listens after {server.seconds:.1f} s")
        _latency(root, servers, requests_, rounds)
        for server in servers.values():
            count = malformed if server.name == "http" else malformed // 10
            _ask_for_nonsense(server, count)
            _ask_at_once(server, min(200, 8 * requests_))
            print(f"{server.name}: at most {_peak(server.process):.0f} MiB")
        for server in servers.values():
            _end_in_the_middle(server, 16)


@dataclass(frozen=True, slots=True)
class _Running:
    """A server that runs, and the seconds that it took to start."""

    name: str
    process: subprocess.Popen[bytes]
    address: str
    seconds: float

    def ask(self, session: requests.Session, body: bytes) -> requests.Response:
        return session.post(self.address, data=body, headers=JSON, timeout=600)


def _start(
    started: ExitStack, server: ModelServer, root: Path
) -> tuple[subprocess.Popen[bytes], str, float]:
    """Start a server for the second time: the first makes what is cached, such as an export."""
    with running(server, root):
        pass
    start = time.perf_counter()
    process, address = started.enter_context(running(server, root))
    return process, address, time.perf_counter() - start


def _write_test_images(root: Path) -> None:
    """Write test images, on which an export of the package is compared with it."""
    names = [f"{number}.png" for number in range(12)]
    for number, name in enumerate(names):
        path = root / paths.RAW / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = sample.draw_numbered(number, number, seed=1, size=150)[0]
        path.write_bytes(images.encode_png(picture))
    table = pd.DataFrame({"path": names, "label": _NAMES, "split": "test"})
    split_table.write(table.assign(group=range(12), digest="", original=_NAMES), root / paths.SPLIT)


def _latency(root: Path, servers: Mapping[str, _Running], count: int, rounds: int) -> None:
    """Print p50, p95 and images/s for 1 and 16 images, and 1, 4 and 16 clients, in turns."""
    predictor = Predictor(root / "package")
    titles = ("images", "clients", "server", "p50 ms", "p95 ms", "images/s", "network", "lost")
    print("".join(f"{title:>9}" for title in titles))
    for size in (1, 16):
        pictures = [sample.draw_numbered(n % 12, n, seed=1, size=150)[0] for n in range(size)]
        network = _network(predictor, pictures)
        for clients in (1, 4, 16):
            each = max(3, count // clients)
            found = [
                {name: _load(server, pictures, clients, each) for name, server in servers.items()}
                for _ in range(rounds)
            ]
            for name in servers:
                middle, high, rate, lost = np.median([x[name] for x in found], axis=0)
                share = f"{network / middle:.0%}" if clients == 1 and name == "mlflow" else ""
                cells = f"{size:>9}{clients:>9}{name:>9}{1000 * middle:>9.1f}{1000 * high:>9.1f}"
                print(f"{cells}{rate:>9.1f}{share:>9}{lost:>9.0f}", flush=True)
            ratios = [np.divide(x["http"][:3], x["mlflow"][:3]) for x in found]
            middle, high, rate = np.median(ratios, axis=0)
            print(f"{'http / mlflow':>27}{middle:>9.2f}{high:>9.2f}{rate:>9.2f}", flush=True)


def _load(
    server: _Running, pictures: Sequence[images.Image], clients: int, each: int
) -> tuple[float, float, float, int]:
    """Return p50 and p95 in seconds, images/s, and the answers that are lost."""
    cells = [encoded(images.encode_png(picture)) for picture in pictures]
    body = SERVERS[server.name].request(*cells)
    times: list[float] = []
    lost: list[int] = []

    def ask(_client: int) -> None:
        with requests.Session() as session:
            for _ in range(each):
                start = time.perf_counter()
                answer = server.ask(session, body)
                times.append(time.perf_counter() - start)
                if answer.status_code != 200 or len(answer.json()["predictions"]) != len(cells):
                    lost.append(answer.status_code)

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(clients)))
    rate = clients * each * len(cells) / (time.perf_counter() - start)
    middle, high = np.quantile(times, [0.5, 0.95])
    return float(middle), float(high), rate, len(lost)


def _ask_for_nonsense(server: _Running, count: int) -> None:
    """Print the statuses of malformed requests, and what they did to the memory."""
    rng = np.random.default_rng(0)
    before = _resident(server.process)
    found: Counter[int] = Counter()
    with requests.Session() as session:
        for _ in range(count):
            body, headers = SERVERS[server.name].malformed(rng)
            answer = session.post(server.address, data=body, headers=headers, timeout=600)
            found[answer.status_code] += 1
    grown = _resident(server.process) - before
    print(f"{server.name}: {count:,} malformed requests: {_listed(found)}; {grown:+.0f} MiB")


def _ask_at_once(server: _Running, clients: int) -> None:
    """Print the statuses of the answers to clients that ask at the same time."""
    body = SERVERS[server.name].request(encoded(PICTURE))
    together = threading.Barrier(clients)

    def ask(_client: int) -> str:
        together.wait()
        return _status(server, body)

    with ThreadPoolExecutor(clients) as pool:
        found = Counter(pool.map(ask, range(clients)))
    print(f"{server.name}: {clients} clients at once: {_listed(found)}")


def _end_in_the_middle(server: _Running, clients: int) -> None:
    """Print what clients get whose requests run when the server is asked to end."""
    picture = encoded(images.encode_png(np.zeros((2000, 2000, 3), np.uint8)))
    body = SERVERS[server.name].request(*[picture] * 4)
    with ThreadPoolExecutor(clients) as pool:
        asked = [pool.submit(_status, server, body) for _ in range(clients)]
        time.sleep(0.5)  # all have arrived, and none is answered
        server.process.send_signal(signal.SIGTERM)
        found = Counter(answer.result() for answer in asked)
    print(f"{server.name}: SIGTERM while {clients} requests run: {_listed(found)}")


def _status(server: _Running, body: bytes) -> str:
    """Return the status of an answer, or the kind of error."""
    try:
        return str(server.ask(requests.Session(), body).status_code)
    except requests.RequestException as error:
        return type(error).__name__


def _listed(found: Counter[Any]) -> str:
    return ", ".join(f"{status} {count:,} times" for status, count in sorted(found.items()))


def _peak(process: subprocess.Popen[bytes]) -> float:
    return _memory(process, "VmHWM")


def _resident(process: subprocess.Popen[bytes]) -> float:
    return _memory(process, "VmRSS")


def _memory(process: subprocess.Popen[bytes], field: str) -> float:
    """Return the memory in MiB, of a field of Linux, of a process and all that it started."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):
            if os.getpgid(int(folder.name)) == process.pid:
                text = (folder / "status").read_text(encoding="utf-8")
                found += int(re.findall(rf"{field}:\s+(\d+)", text)[0])
    return found / 1024


def _network(predictor: Predictor, pictures: list[images.Image]) -> float:
    """Return the median seconds of the network alone for the pictures."""
    size = predictor.contents.segment["pixels"]
    batch = np.stack([images.resize(picture, *size) for picture in pictures])
    predictor.run(batch)
    return float(np.median(in_turns({"network": lambda: predictor.run(batch)}, 5)["network"]))
