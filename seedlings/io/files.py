"""Atomic writes of files and folders."""

import errno
import fcntl
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_PARTIAL = ".partial"
_FICLONE = 0x40049409  # of Linux (ioctl_ficlone(2))


@contextmanager
def replacing(path: Path, *, shared: bool = False, flushed: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` if the block ends without error.

    The block creates a file or a folder there. After an error `path` is unchanged. After a kill at
    any instruction, `path` is the old or the new one as a whole; a kill while a folder is replaced
    can leave neither, until the next call, or `recover`, puts the old one back. The leftovers of a
    killed process are removed first.

    A file is flushed to the disk before it replaces another, so that a power cut leaves no half of
    it, and keeps the permissions of a file that its owner may write; with `flushed` False, for one
    that is written again at once, it is not. A folder is not flushed: folders are outputs of
    stages, which DVC copies into its cache without a flush, and which a stage can compute again.

    With `shared`, several processes may write the same file at the same time. Each has a temporary
    path of its own, and the caller removes the leftovers, whose names `is_partial` knows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    recover(path)
    token = f".{secrets.token_hex(4)}" if shared else ""
    scratch = path.with_name(f".{path.name}{token}{_PARTIAL}")
    remove(scratch)
    try:
        yield scratch
        if _is_folder(scratch) or _is_folder(path):
            _replace_folder(scratch, path)
        else:
            _replace_file(scratch, path, flushed=flushed)
    finally:
        remove(scratch)
        recover(path)


def recover(path: Path) -> None:
    """Put a folder back that a kill in `replacing` left under another name, if there is one."""
    old = _aside(path)
    if not os.path.lexists(old):
        return
    if os.path.lexists(path):
        _discard(old, path)
    else:
        old.rename(path)


def is_partial(name: str) -> bool:
    """Return whether a file name is that of a temporary path of `replacing`."""
    return name.startswith(".") and name.endswith(_PARTIAL)


def _replace_file(scratch: Path, path: Path, *, flushed: bool = True) -> None:
    # Links of DVC into its cache are read-only or symbolic; their modes are those of the cache.
    if path.is_file() and not path.is_symlink() and path.stat().st_mode & stat.S_IWUSR:
        shutil.copymode(path, scratch)
    if flushed:
        _flush(scratch)
    scratch.replace(path)
    if not flushed:
        return
    try:
        _flush(path.parent)
    except OSError as error:  # some network file systems flush no folder
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _replace_folder(scratch: Path, path: Path) -> None:
    """Replace `path` where one of both is a folder, in two renames."""
    old = _aside(path)
    if os.path.lexists(path):
        path.rename(old)
    scratch.rename(path)
    if os.path.lexists(old):
        _discard(old, path)


def _discard(old: Path, path: Path) -> None:
    """Remove what `path` was; `recover` never finds a half of it."""
    scratch = path.with_name(f".{path.name}{_PARTIAL}")
    remove(scratch)
    old.rename(scratch)
    remove(scratch)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _flush(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def remove(path: Path) -> None:
    """Remove a file or a folder with its contents, if it exists."""
    if _is_folder(path):
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


def write_text(path: Path, text: str, *, flushed: bool = True) -> None:
    """Write a text (UTF-8), atomically."""
    with replacing(path, flushed=flushed) as scratch:
        scratch.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, flushed: bool = True) -> None:
    """Write `value` as indented JSON (UTF-8, keys in the given order), atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n", flushed=flushed)


def write_array(path: Path, array: "NDArray") -> None:
    """Write an array as .npy, atomically; np.load reads it."""
    import numpy as np

    with replacing(path) as scratch, scratch.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_csv(path: Path, table: "pd.DataFrame", *, flushed: bool = True) -> None:
    """Write a table as CSV (UTF-8, without the index), atomically."""
    with replacing(path, flushed=flushed) as scratch:
        table.to_csv(scratch, index=False, lineterminator="\n")
