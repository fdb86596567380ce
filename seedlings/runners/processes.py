"""Processes: runs commands in clones on this machine.

A command and all processes that it starts are one group, which ends as a whole: with the process
that started it, of whose end Linux tells the leader of the group (PR_SET_PDEATHSIG), and if the
command is killed. They inherit a locked file as their standard input, so that the clone is in use
as long as something holds the lock.
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

from seedlings.runners import leader
from seedlings.runners.clones import Clone

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

    def start(self, command: Sequence[str], clone: Clone, settings: Mapping[str, str]) -> Handle:
        """Make a clone, and start a command in it, with its output in the clone's `log_of`."""


class Here:
    """The pool of this machine."""

    def start(self, command: Sequence[str], clone: Clone, settings: Mapping[str, str]) -> Handle:
        """Make a clone, and start a command in it, in a process group of its own."""
        clone.make()
        return _Group(command, clone.folder, settings)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a command: those of this process, but for what concerns a cluster."""
    programs = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DASK_", "DVC_EXP"))}
    return {**kept, "PATH": programs, **settings}


def log_of(folder: Path) -> Path:
    """Return the file with the output of the command in a folder."""
    return folder.with_name(f"{folder.name}.{_LOG}")


def is_free(folder: Path) -> bool:
    """Return whether no process of a command holds the lock of a folder."""
    file = folder.with_name(f"{folder.name}.{_LOCK}")
    if not file.exists():
        return True
    with file.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


class _Group:
    def __init__(self, command: Sequence[str], folder: Path, settings: Mapping[str, str]) -> None:
        self._folder, file = folder, folder.with_name(f"{folder.name}.{_LOCK}")
        program = [sys.executable, "-I", "-S", leader.__file__, str(os.getpid())]
        with file.open("w+", encoding="utf-8") as lock, log_of(folder).open("wb") as log:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._process = subprocess.Popen(
                [*program, *command],
                cwd=folder,
                env=environment(settings),
                stdin=lock,  # DVC closes other files for its stages; it is read as empty
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def poll(self) -> int | None:
        code = self._process.poll()
        if code is not None and code < 0:
            self.end()
        return code

    def end(self) -> None:
        while not is_free(self._folder):  # as long as it is locked, the number is of this group
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            time.sleep(_PAUSE)
        self._process.wait()
