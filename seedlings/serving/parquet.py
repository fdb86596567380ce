"""Answers in a Parquet data set: a folder of parts, each of which is complete or missing."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import dataset
from pyarrow import parquet as pq

from seedlings.errors import SeedlingsError
from seedlings.io.files import is_partial
from seedlings.serving import addresses

# Readers of data sets skip names that begin with an underscore.
_KEY = "_seedlings.json"
_SUCCESS = "_SUCCESS"
_SUFFIX = ".parquet"
_SHOWN = 5


class Parquet:
    """A folder of Parquet parts, local or at an address of fsspec; a sink of an engine.

    `shared` says whether all machines reach the folder; `folder` is a local one, which some may
    share.
    """

    def __init__(self, address: str) -> None:
        self.shared = addresses.is_remote(address)
        self.folder = None if self.shared else Path(address).absolute()
        self.address = address if self.shared else str(self.folder)
        self._complete: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._complete or addresses.exists(self._part(name))

    def prepare(self, key: Mapping[str, Any], *, overwrite: bool) -> None:
        """Start or resume the parts for a key, which says what the answers are computed from.

        Raises SeedlingsError if the folder contains other files, or the answers of another key
        without `overwrite`.
        """
        found = addresses.names(self.address)
        for name in filter(is_partial, found):  # left by a killed process
            addresses.remove(f"{self.address}/{name}")
        started = _KEY in found
        if not started and any(not name.startswith(".") for name in found):
            raise SeedlingsError(
                f"expected a new folder or one with answers at {self.address}, found {found[0]}; "
                "choose another --output"
            )
        other = started and (why := self._difference(key))
        if other and not overwrite:
            raise SeedlingsError(
                f"expected the answers of this model for these files in {self.address}, found "
                f"those of {why}; choose another --output, or replace them with --overwrite"
            )
        if overwrite:
            for name in (_SUCCESS, *(name for name in found if name.endswith(_SUFFIX))):
                addresses.remove(f"{self.address}/{name}")
            found = []
        if overwrite or not started:
            self._write(_KEY, (json.dumps(key, indent=2) + "\n").encode())
        self._complete = {n.removesuffix(_SUFFIX) for n in found if n.endswith(_SUFFIX)}

    def save(self, name: str, result: pa.Table) -> None:
        """Write a table as the part with a name."""
        buffer = pa.BufferOutputStream()
        pq.write_table(result, buffer, compression="zstd")
        self._write(name + _SUFFIX, buffer.getvalue().to_pybytes())
        self._complete.add(name)

    def finish(self) -> None:
        """Mark the data set as complete."""
        self._write(_SUCCESS, b"")

    def complete(self) -> set[str]:
        """Return the names of the parts that were complete at `prepare`, or are saved since."""
        return set(self._complete)

    def errors(self, names: Sequence[str]) -> tuple[int, list[str]]:
        """Return the number of rows with an error in the parts, and messages for the first."""
        system, _ = addresses.opened(self.address)
        paths = [addresses.opened(self._part(name))[1] for name in names]
        data = dataset.dataset(paths, filesystem=system, format="parquet")
        bad = dataset.field("error") != ""
        count = data.count_rows(filter=bad)
        first = data.head(_SHOWN, filter=bad, columns=["path", "error"]) if count else None
        rows = first.to_pylist() if first else []
        return count, [f"{row['path']}: {row['error']}" for row in rows]

    def _difference(self, key: Mapping[str, Any]) -> str:
        """Return in which entries the key of the folder differs, or an empty text."""
        [data] = addresses.read([f"{self.address}/{_KEY}"])
        if isinstance(data, OSError):
            raise data
        kept = json.loads(data)
        names = [f"another {name}" for name in key if kept.get(name) != key[name]]
        return " and ".join(names)

    def _part(self, name: str) -> str:
        return f"{self.address}/{name}{_SUFFIX}"

    def _write(self, name: str, data: bytes) -> None:
        try:
            addresses.write(f"{self.address}/{name}", data)
        except Exception as error:
            raise SeedlingsError(
                f"cannot write {self.address}/{name}: {error or type(error).__name__}; "
                "complete parts are kept, so run the command again"
            ) from error
