"""The folder of a running server: its own copy of a model, removed when the server ends.

The server holds a lock on a file in the folder, from its start to its end, however it ends. A
process in the background, `python -m seedlings.serving.model_folder FOLDER`, waits for the lock.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

_LOCK = "lock"


@contextmanager
def create(root: Path) -> Iterator[Path]:
    """Yield a new folder below `root`, which exists until this process ends, or the block.

    A program that replaces this process (exec) keeps the folder. Folders that no process uses, such
    as after a power cut, are removed first.
    """
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / _LOCK):  # a folder without a lock may be one that starts now
        for left in filter(Path.is_dir, root.iterdir()):
            _remove_unused(left)
        folder = Path(tempfile.mkdtemp(dir=root))
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT)
        fcntl.flock(lock, fcntl.LOCK_EX)
    os.set_inheritable(lock, True)
    # In a session of its own, it outlives Ctrl-C.
    command = [sys.executable, "-m", __name__, str(folder)]
    null = subprocess.DEVNULL
    subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)
    try:
        yield folder
    finally:
        os.close(lock)


def main() -> None:
    """Wait until no process uses the folder in the first argument, and remove it."""
    folder = Path(sys.argv[1])
    with (folder / _LOCK).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_unused(folder: Path) -> None:
    try:
        with (folder / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # its server runs
        return
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
