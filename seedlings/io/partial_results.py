"""Partial results: the finished parts of a long stage, with which a killed stage resumes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedlings.io.files import is_partial, remove, replacing


class PartialResults:
    """Named results in a hidden folder beside their target, each written atomically.

    They are valid only for one `key`, a digest of everything that they depend on; results with
    another key are removed. `folder` is their folder, as an absolute path.
    """

    def __init__(self, target: Path, key: str) -> None:
        self.folder = target.absolute().with_name(f".{target.name}.parts")
        marker = self.folder / "key"
        if not marker.is_file() or marker.read_text(encoding="utf-8") != key:
            remove(self.folder)
            with replacing(marker) as scratch:
                scratch.write_text(key, encoding="utf-8")
        for path in self.folder.iterdir():
            if is_partial(path.name):
                remove(path)

    def __contains__(self, name: str) -> bool:
        return self._file(name).is_file()

    def save(self, name: str, arrays: Sequence[NDArray], facts: Any = None) -> None:
        """Save arrays, and `facts` as JSON, under a name; replaces an earlier result."""
        numbered: dict[str, Any] = {f"{n:06d}": array for n, array in enumerate(arrays)}
        # A worker that the client has replaced may still write the same result.
        with replacing(self._file(name), shared=True) as scratch, scratch.open("wb") as file:
            np.savez(file, facts=np.array(json.dumps(facts)), **numbered)

    def load(self, name: str) -> tuple[list[NDArray], Any]:
        """Return the arrays and the facts that were saved under a name."""
        with np.load(self._file(name), allow_pickle=False) as saved:
            names = sorted(entry for entry in saved.files if entry != "facts")
            return [saved[entry] for entry in names], json.loads(str(saved["facts"]))

    def remove(self) -> None:
        """Remove all results, when the target is complete."""
        remove(self.folder)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.npz"
