"""Clusters on this machine: the command `seedlings cluster`, started and ended by a test."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dask
import psutil
from imports import ROOT

START = "from seedlings.cli import main; main()"


@dataclass
class Cluster:
    process: subprocess.Popen[str]
    settings: Path
    address: str

    @property
    def variables(self) -> dict[str, str]:
        """The variables that name the cluster to a process."""
        return {"DASK_CONFIG": str(self.settings), "DASK_SCHEDULER_ADDRESS": self.address}

    @property
    def environment(self) -> dict[str, str]:
        return environment(**self.variables)

    def workers(self) -> list[psutil.Process]:
        """The processes of the workers. Scheduler and nannies are one process: `process`."""
        children = psutil.Process(self.process.pid).children()
        lines = [child.as_dict(["cmdline"])["cmdline"] for child in children]
        named = zip(children, lines, strict=True)
        return [child for child, line in named if line and "spawn_main" in " ".join(line)]

    def use(self) -> None:
        """Let Dask in this process use the settings, as DASK_CONFIG does at its import."""
        dask.config.refresh(paths=[str(self.settings)])


def environment(**more: str) -> dict[str, str]:
    """The environment of a cluster's processes, which can import the tests' works."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))), **more}


@contextmanager
def running(
    folder: Path,
    workers: int,
    *options: str,
    start: Sequence[str] = (sys.executable, "-c", START),
    stderr: int | None = None,
    **more: str,
) -> Iterator[Cluster]:
    """A cluster whose settings are in a folder; ended as Ctrl-C does."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [*start, "cluster", "--workers", str(workers), "--port", "0", *options]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
        # A shell lets what it starts in the background ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    try:
        exported = [process.stdout.readline().removeprefix("export ").strip() for _ in range(2)]
        found = dict(line.split("=", 1) for line in exported if line)
        assert found, "the cluster did not start"
        yield Cluster(process, Path(found["DASK_CONFIG"]), found["DASK_SCHEDULER_ADDRESS"])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait()
