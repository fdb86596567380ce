"""Earlier results: the outputs of a stage in DVC's cache, under the hashes of dvc.lock.

A stage takes rows over from them. They are usable if its command, parameters, code and packages
are those in dvc.lock; only its data may have changed. So the key of a row must be a digest of all
the data that it is computed from.
"""

import json
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seedlings.config import params, paths, pipeline
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError

_REUSE = "SEEDLINGS_REUSE"


@contextmanager
def outputs(record: Record, wanted: Collection[Path]) -> Iterator[Path | None]:
    """Yield a folder with the wanted outputs of the last run of a stage, or None.

    The folder has links to the files in DVC's cache, at the paths of the outputs. It is None if
    dvc.lock or the cache does not have them, or if other things than data have changed since: the
    reason is printed. With SEEDLINGS_REUSE=off it is always None.
    """
    setting = os.environ.get(_REUSE, "on")
    if setting not in ("on", "off"):
        raise SeedlingsError(f"{_REUSE}: expected `on` or `off`, found {setting!r}")
    entry = pipeline.locked().get(record.stage)
    if setting == "off" or entry is None:
        yield None
        return
    if changed := _changed(entry, record):
        print(f"{record.stage}: no row is taken over, as {changed} changed since dvc.lock")
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        complete = _link(entry, wanted, Path(folder))
        if not complete:
            print(f"{record.stage}: no row is taken over, as DVC's cache does not have the last")
        yield Path(folder) if complete else None


def _changed(entry: Mapping[str, Any], record: Record) -> str | None:
    """Return what other than data differs from the entry of a stage in dvc.lock, or None."""
    if entry["cmd"] != pipeline.read().stages[record.stage]["cmd"]:
        return "the command"
    before = params.flatten(entry.get("params", {}).get(paths.PARAMS.name, {}))
    if different := sorted(
        key
        for key in {*before, *record.params}
        if key not in before or key not in record.params or before[key] != record.params[key]
    ):
        return ", ".join(different)
    locked = {dep["path"]: dep["md5"] for dep in entry["deps"]}
    found = pipeline.dep_hashes(record.stage, pipeline.is_code)
    return next((dep for dep, digest in found.items() if locked.get(dep) != digest), None)


def _link(entry: Mapping[str, Any], wanted: Collection[Path], folder: Path) -> bool:
    """Link the wanted outputs into `folder`; return whether the cache has all of their files."""
    cache = find_cache()
    if cache is None:
        return False
    hashes = {out["path"]: out["md5"] for out in entry["outs"]}
    for path in wanted:
        files = listing(cache, hashes[path.as_posix()])
        if files is None:
            return False
        for name, digest in files.items():
            source = cached(cache, digest)
            if not source.is_file():
                return False
            link = folder / path / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source.resolve())
    return True


def find_cache() -> Path | None:
    """Return the folder files/md5 of DVC's cache, or None outside a repository of DVC."""
    from dvc.exceptions import NotDvcRepoError  # slow to import
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            return Path(repo.cache.local.path)
    except NotDvcRepoError:
        return None


def listing(cache: Path, digest: str) -> dict[str, str] | None:
    """Return the hash of each file of a folder in DVC's cache, by its path below the folder.

    `cache` is the folder files/md5 of the cache, and `digest` is the folder's hash. It is None for
    another hash than a folder's, and for one that is not in the cache.
    """
    path = cached(cache, digest)
    if not digest.endswith(".dir") or not path.is_file():
        return None
    entries = json.loads(path.read_text(encoding="utf-8"))
    return {entry["relpath"]: entry["md5"] for entry in entries}


def cached(cache: Path, digest: str) -> Path:
    """Return the path of a file in the folder files/md5 of DVC's cache, by its hash."""
    return cache / digest[:2] / digest[2:]
