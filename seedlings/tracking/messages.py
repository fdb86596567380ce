"""Messages of stages to the run logger: a file for each stage, which is read while it is written.

The run logger stays for the stages that follow, so that one process imports MLflow for a whole
`dvc repro`, and a stage does not wait for it. The files are in DVC's temporary folder, in one
folder for each environment, because the run logger has the environment of the stage that started
it. Who writes or reads has a lock, which the operating system releases when the process ends.
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

Message = Mapping[str, Any]

_FOLDERS = Path(".dvc/tmp/run_logger")
_READER = (sys.executable, "-m", "seedlings.tracking.run_logger")
_PAUSE = 0.1  # seconds
_IDLE = 10.0  # seconds without a stage, in which DVC hashes outputs


@contextmanager
def written(stage: str) -> Iterator[tuple[Path, IO[str]]]:
    """Yield the path of the messages of a stage, and the open file."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.time_ns()}-{stage}.jsonl"
    unnamed = path.with_suffix(".new")  # the run logger takes a file without a lock as complete
    with unnamed.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        unnamed.rename(path)
        yield path, file


def start_reader() -> None:
    """Start the run logger for the current folder and environment, unless it runs.

    It inherits the lock that shows that it runs.
    """
    folder = _folder()
    with (folder / "lock").open("w") as lock, (folder / "warnings").open("a") as warnings:
        if not _lock(lock.fileno()):
            return
        subprocess.Popen(
            (*_READER, str(folder), str(lock.fileno())),
            pass_fds=[lock.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # it would keep the pipe of `dvc repro | tee` open
            stderr=warnings,
            start_new_session=True,  # Ctrl-C ends the stage; the run logger then logs its end
        )


def read(folder: Path, lock: int) -> Iterator[Iterator[Message]]:
    """Yield the messages of each stage in a folder; end if there was none for some seconds.

    `lock` is a file that this process has locked; it is released at the end.
    """
    while True:
        yield from _until_idle(folder)
        fcntl.flock(lock, fcntl.LOCK_UN)
        if not _files(folder) or not _lock(lock):  # of a stage that found the lock taken
            return


def _until_idle(folder: Path) -> Iterator[Iterator[Message]]:
    last = time.monotonic()
    while time.monotonic() - last < _IDLE:
        for path in _files(folder):
            yield _messages(path)
            path.unlink(missing_ok=True)
            last = time.monotonic()
        time.sleep(_PAUSE)


def _messages(path: Path) -> Iterator[Message]:
    """Yield the messages of a file until its stage has ended."""
    with path.open(encoding="utf-8") as file:
        rest = ""
        while True:
            has_ended = _is_free(path)  # what was written before is read below
            *lines, rest = (rest + file.read()).split("\n")
            yield from map(json.loads, lines)
            if has_ended:
                return
            time.sleep(_PAUSE)


def wait(path: Path) -> None:
    """Wait until the run logger has logged the messages of a file, or does not run."""
    while path.exists() and not _is_free(path.with_name("lock")):
        time.sleep(_PAUSE)


def wait_for_all() -> None:
    """Wait until the run logger has logged all stages that have ended; show its warnings."""
    for folder in sorted(_FOLDERS.glob("*/")):
        for path in filter(_is_free, _files(folder)):
            wait(path)
            path.unlink(missing_ok=True)  # of a run logger that was killed
        show_warnings(folder)


def show_warnings(folder: Path | None = None) -> None:
    """Print and forget the warnings of the run logger."""
    with suppress(FileNotFoundError), ((folder or _folder()) / "warnings").open("r+") as file:
        sys.stderr.write(file.read())
        file.truncate(0)


def _folder() -> Path:
    """Return the folder of messages for the environment of this process."""
    own = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode("utf-8", "surrogateescape"))
    return _FOLDERS / digest.hexdigest()[:16]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def _lock(file: int) -> bool:
    """Lock an open file, and return whether that was possible."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(path: Path) -> bool:
    """Return whether no process has locked a file."""
    try:
        with path.open() as file:
            return _lock(file.fileno())
    except FileNotFoundError:
        return True
