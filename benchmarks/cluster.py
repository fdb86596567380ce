"""What a cluster costs: workers against plain processes, and the scheduler for 100,000 rows."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import networks
from benchmarks.measure import ROOT, at_most, compare, print_rates, self_timed
from seedlings.cluster.engine import choose
from seedlings.io import shards
from seedlings.io.shards import Shard
from seedlings.networks import backbones, runtime
from seedlings.networks.features import Extraction

_BATCH = 32
_SIDE, _SMALL_SIDE = 150, 48


class Features(Extraction):
    """The work of the stage extract, for random images instead of stored ones."""

    pixels = (_SIDE, _SIDE)

    def read(self, shard: Shard) -> NDArray[np.uint8]:
        generator = np.random.default_rng(shard.items)
        return generator.integers(0, 256, (len(shard), *self.pixels, 3), dtype=np.uint8)


@dataclass
class Nothing:
    """A network that does nothing."""

    name: str = "nothing"

    def read(self, shard: Shard) -> tuple[int, ...]:
        return tuple(shard.items)

    def run(self, inputs: tuple[int, ...]) -> int:
        return len(inputs)

    def numerics(self) -> str:
        return "nothing"


@dataclass
class Files:
    """Results as files in a folder."""

    folder: Path

    def __contains__(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def save(self, name: str, result: Any) -> None:
        scratch = self.folder / f".{name}"
        with scratch.open("wb") as file:
            np.save(file, result)
        scratch.rename(self.folder / name)


def _features(threads: int, *, small: bool) -> Features:
    settings = networks.full_vgg16(small=small)
    runtime.prepare(settings.seed, threads)
    side = _SMALL_SIDE if small else _SIDE
    extractor = backbones.build(settings.extract, side, side).feature_extractor
    folder = Path()  # there are no stored images
    work = Features(extractor, folder, batch_size=_BATCH, seed=settings.seed, threads=threads)
    work.pixels = (side, side)
    return work


def compute(what: str, first: int, last: int, *, small: bool) -> None:
    """Compute some shards of 32 rows with the engine of the environment; print their images/s.

    The network is compiled before the time begins, in every process.
    """
    work: Any = Nothing() if what == "nothing" else _features(int(what), small=small)
    rows = [str(number) for number in range(last * _BATCH)]
    pieces = shards.cut(rows, range(len(rows)), rows, size=_BATCH)[first:last]
    engine = choose()
    with tempfile.TemporaryDirectory() as name:
        if what != "nothing":
            warm = [Shard(f"warm-{n}", (n,) * _BATCH, ("",) * _BATCH) for n in range(4)]
            engine.map(work, warm, Files(Path(name)))
        print("ready", flush=True)
        sys.stdin.readline()
        start = time.perf_counter()
        engine.map(work, pieces, Files(Path(name)))
        print(time.perf_counter() - start, flush=True)


def together(
    *jobs: tuple[str, int, int], small: bool, env: Mapping[str, str] | None = None
) -> float:
    """Return the seconds of processes that begin together, until the last has ended."""
    program = "import sys; from benchmarks.cluster import compute; a = sys.argv[1:]; "
    program += f"compute(a[0], int(a[1]), int(a[2]), small={small})"
    command = [sys.executable, "-c", program]
    env = {**os.environ, **(env or {})}
    pipe = subprocess.PIPE
    # Linux shares the processor among sessions; each worker of a cluster has one of its own.
    start = partial(subprocess.Popen, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
    processes = [start([*command, *map(str, job)], env=env) for job in jobs]
    for process in processes:
        _line(process, "ready")
    for process in processes:
        assert process.stdin is not None
        print(file=process.stdin, flush=True)
    found = [float(process.communicate()[0].split()[-1]) for process in processes]
    return max(found)


def _line(process: subprocess.Popen[str], expected: str) -> None:
    assert process.stdout is not None
    while (line := process.stdout.readline()).strip() != expected:
        assert line, "the process has ended"


@contextmanager
def cluster(workers: int) -> Iterator[dict[str, str]]:
    """Start a cluster; yield what it exports."""
    program = "from seedlings.cli import main; main()"
    command = [sys.executable, "-c", program, "cluster", "--workers", str(workers), "--port", "0"]
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = [process.stdout.readline().removeprefix("export ").strip() for _ in range(2)]
        try:
            yield dict(line.split("=", 1) for line in lines)
        finally:
            process.terminate()
            process.wait()


def main(*, small: bool) -> None:
    number, rounds, rows = (4, 1, 3_200) if small else (24, 2, 100_000)
    run = partial(together, small=small)
    with cluster(2) as two, cluster(1) as one:
        times = self_timed(
            {
                "two workers of one thread": lambda: run(("1", 0, number), env=two),
                "two plain processes": lambda: run(
                    ("1", 0, number // 2), ("1", number // 2, number)
                ),
                "one worker of two threads": lambda: run(("2", 0, number), env=one),
                "no engine, two threads": lambda: run(("2", 0, number)),
            },
            rounds,
        )
        nothing = run(("nothing", 0, rows // _BATCH), env=two)
    print_rates(times, number * _BATCH)
    print(f"{rows:,} rows, no network: {nothing:.1f} s ({rows / nothing:,.0f} rows/s)")
    compare(times, "two workers of one thread", "two plain processes", 0.95)
    compare(times, "one worker of two threads", "no engine, two threads", 0.9)
    network = rows * float(np.median(times["no engine, two threads"])) / (number * _BATCH)
    at_most(f"scheduler / network, for {rows:,} rows", 100 * nothing / network, 2.0, "%")
