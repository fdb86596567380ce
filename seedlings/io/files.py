"""Atomic writes of files and folders."""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FICLONE = 0x40049409  # of Linux (ioctl_ficlone(2))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` if the block ends without error.

    The block may create a file or a folder there. The leftover of a killed process is removed
    first; after an error the temporary path is removed, and `path` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.partial")
    remove(scratch)
    try:
        yield scratch
        remove(path)
        scratch.rename(path)
    finally:
        remove(scratch)


def remove(path: Path) -> None:
    """Remove a file or a folder with its contents, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def copy(source: Path, target: Path) -> None:
    """Copy the contents of a file; the new file shares no later change with the old one.

    On file systems with reflinks (XFS, Btrfs) the copy needs no room until one of them changes.
    """
    with source.open("rb") as old, target.open("wb") as new:
        try:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        except OSError:  # another file system, or one without reflinks
            shutil.copyfileobj(old, new)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON (UTF-8, keys in the given order), atomically."""
    with replacing(path) as scratch:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        scratch.write_text(text + "\n", encoding="utf-8")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV (UTF-8, without the index), atomically."""
    with replacing(path) as scratch:
        table.to_csv(scratch, index=False, lineterminator="\n")
