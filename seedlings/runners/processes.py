"""Processes: runs commands in clones on this machine.

A command has a process group of its own, which is ended as a whole. Its standard input is a locked
file, which all processes that it starts inherit, so that a search that goes on after a kill knows
whether processes of the last one still run.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_LOG, _LOCK = "log", "lock"
_PAUSE = 0.05  # seconds


class Handle(Protocol):
    """A command that runs, or has run."""

    def poll(self) -> int | None:
        """Return the exit code, or None while the command runs; negative if it was killed."""

    def end(self) -> None:
        """End the command and all processes that it started."""


class Pool(Protocol):
    """Where commands run."""

    def start(self, command: Sequence[str], folder: Path, settings: Mapping[str, str]) -> Handle:
        """Start a command of the environment in `folder`, with its output in `folder.log`."""


class Here:
    """The pool of this machine."""

    def start(self, command: Sequence[str], folder: Path, settings: Mapping[str, str]) -> Handle:
        """Start a command in a process group of its own."""
        return _Group(command, folder, settings)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a command: those of this process, but for what concerns a cluster."""
    programs = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DASK_", "DVC_EXP"))}
    return {**kept, "PATH": programs, **settings}


def log_of(folder: Path) -> Path:
    """Return the file with the output of the last command in a folder."""
    return folder.with_name(f"{folder.name}.{_LOG}")


def end_leftover(folder: Path) -> None:
    """End the processes that an earlier search left running in a folder.

    They are known by the locked file that they inherited: while it is locked, the number of the
    group in it is theirs.
    """
    file = folder.with_name(f"{folder.name}.{_LOCK}")
    if not file.exists():
        return
    with file.open("r+") as lock:
        while not _locks(lock.fileno()):
            _kill(int(file.read_text(encoding="utf-8") or 0))
            time.sleep(_PAUSE)


class _Group:
    def __init__(self, command: Sequence[str], folder: Path, settings: Mapping[str, str]) -> None:
        self._folder, file = folder, folder.with_name(f"{folder.name}.{_LOCK}")
        with file.open("w+", encoding="utf-8") as lock, log_of(folder).open("wb") as log:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(settings),
                stdin=lock,  # DVC closes other files for its stages; it is read as empty
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            print(self._process.pid, file=lock, end="")

    def poll(self) -> int | None:
        code = self._process.poll()
        if code is not None and code < 0:
            end_leftover(self._folder)  # the processes that it started have lost their parent
        return code

    def end(self) -> None:
        if self._process.poll() is None:
            _kill(self._process.pid)
            self._process.wait()
        end_leftover(self._folder)  # returns when none of them writes there any more


def _kill(group: int) -> None:
    if group > 0:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _locks(number: int) -> bool:
    """Lock a file if no other process has it locked; return whether it is locked now."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
