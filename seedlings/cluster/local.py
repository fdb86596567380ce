"""A scheduler and its workers on this machine, for `seedlings cluster`."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from seedlings.cluster import certificates
from seedlings.errors import SeedlingsError
from seedlings.io.files import remove

SETTINGS = "dask.yaml"
_PAUSE = 0.2  # seconds
_GRACE = 10.0  # seconds until processes that do not end are killed
_NO_HTTP = ("--no-dashboard", "--dashboard-address", "127.0.0.1:0")
Process = subprocess.Popen[bytes]


@contextmanager
def running(folder: Path, *, workers: int, host: str, port: int) -> Iterator["Local"]:
    """Start a scheduler and workers that use the settings in a folder; end them afterwards.

    The scheduler listens on `host` with mutual TLS. Raises SeedlingsError if it cannot start.
    """
    local = Local(folder, host)
    previous = {s: signal.signal(s, _interrupt) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        local.start_scheduler(port)
        local.start_workers(workers)
        yield local
    finally:
        for number in previous:
            signal.signal(number, signal.SIG_IGN)
        local.stop()
        for number, handler in previous.items():
            signal.signal(number, handler)


class Local:
    """The processes of a cluster on this machine."""

    def __init__(self, folder: Path, host: str) -> None:
        self.settings = (folder / SETTINGS).absolute()
        self.address = ""
        self._folder, self._host = folder.absolute(), host
        self._scheduler: Process | None = None
        self._workers: list[Process] = []

    def start_scheduler(self, port: int) -> None:
        """Start the scheduler and wait until it listens. Port 0 is a free one."""
        file = self._folder / "scheduler.json"
        remove(file)
        options = ("--host", f"tls://{self._host}:{port}", "--scheduler-file", str(file))
        self._scheduler = self._start("dask_scheduler", *options)
        while not (address := _address(file)):
            if self._scheduler.poll() is not None:
                raise SeedlingsError(
                    f"the scheduler did not start at {self._host}:{port}; its message is above: is "
                    "the port free (--port), and the address one of this machine (--host)?"
                )
            time.sleep(_PAUSE)
        self.address = address

    def start_workers(self, count: int) -> None:
        """Start workers, each with a nanny that replaces it when it ends or runs out of memory."""
        options = ("--nthreads", "1", "--host", self._host, "--local-directory")
        for _ in range(count):
            self._workers.append(
                self._start("dask_worker", self.address, *options, str(self._folder))
            )

    def watch(self) -> None:
        """Replace nannies that end. Raises SeedlingsError when the scheduler ends."""
        while True:
            if self._scheduler is None or self._scheduler.poll() is not None:
                raise SeedlingsError("the scheduler has ended; start the cluster again")
            ended = [worker for worker in self._workers if worker.poll() is not None]
            self._workers = [worker for worker in self._workers if worker.poll() is None]
            self.start_workers(len(ended))
            time.sleep(1.0 if ended else _PAUSE)

    def stop(self) -> None:
        """End all processes, the workers first."""
        _end(self._workers)
        _end([self._scheduler] if self._scheduler else [])

    def _start(self, program: str, *options: str) -> Process:
        command = [sys.executable, "-m", f"distributed.cli.{program}", *options, *_NO_HTTP]
        env = {**os.environ, "DASK_CONFIG": str(self.settings)}
        env.pop("DASK_SCHEDULER_ADDRESS", None)
        # Ctrl-C reaches this process alone, which ends the others in order.
        return subprocess.Popen(
            command, env=env, start_new_session=True, preexec_fn=_end_with_the_parent
        )


def write_settings(folder: Path) -> Path:
    """Write the settings of a cluster with new keys into a folder; return their file."""
    path = folder.absolute() / SETTINGS
    certificates.write(path)
    return path


def _address(file: Path) -> str:
    """Return the address in the file that the scheduler writes, or "" before it is complete."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["address"])
    except (OSError, ValueError):
        return ""


def _end(processes: Sequence[Process]) -> None:
    for process in processes:
        process.terminate()
    end = time.monotonic() + _GRACE
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_with_the_parent() -> None:
    """Let the system end this process when its parent is killed (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
