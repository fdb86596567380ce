"""Files and folders that appear whole or not at all."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A scratch path beside `path` that takes its place when the block ends without an error.

    The block may make a file or a folder there. What a killed process left behind is removed
    first; after an error nothing is left, and whatever stood at `path` stands as it was.
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
    """Remove a file or a whole folder; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON (UTF-8, keys in their own order), whole or not at all."""
    with replacing(path) as scratch:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        scratch.write_text(text + "\n", encoding="utf-8")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV (UTF-8, without its index), whole or not at all."""
    with replacing(path) as scratch:
        table.to_csv(scratch, index=False, lineterminator="\n")
