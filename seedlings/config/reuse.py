"""Reuse: what DVC knows of the last run of a stage, by dvc.lock, and has in its cache.

A stage reuses rows of its last outputs if its command, parameters, code and packages are those in
dvc.lock; only its data may have changed, and parameters on which no row depends. So the key of a
row must be a digest of all the data that the row is computed from.
"""

import json
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedlings.config import params, paths, pipeline, records
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage
    from dvc_data.hashfile.db import HashFileDB

_REUSE = "SEEDLINGS_REUSE"


@dataclass(frozen=True, slots=True)
class Reuse:
    """What a stage can reuse.

    `key` is a digest of all that its results depend on besides its data: parameters, code and
    packages. `outputs` is a folder with the outputs of its last run, at their paths, or None.
    """

    key: str
    outputs: Path | None = None


@contextmanager
def of_last_run(
    record: Record, wanted: Collection[Path], *, with_params: bool = True
) -> Iterator[Reuse]:
    """Yield what a stage can reuse, with the wanted outputs of its last run.

    The folder has links to the files in DVC's cache. It is None if dvc.lock or the cache does not
    have the outputs, or if other things than data have changed since, which are printed. With
    SEEDLINGS_REUSE=off it is always None. Without `with_params`, parameters may have changed, too:
    for rows that no parameter changes.
    """
    setting = os.environ.get(_REUSE, "on")
    if setting not in ("on", "off"):
        raise SeedlingsError(f"{_REUSE}: expected `on` or `off`, found {setting!r}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with repository() as repo:
            (stage,) = repo.stage.collect(record.stage)
            code = [dep for dep in stage.deps if pipeline.is_code(dep.def_path)]
            key = _digest(record, code)
            usable = setting == "on" and any(out.hash_info for out in stage.outs)
            change = _change(stage, record, code, with_params=with_params) if usable else None
            is_cached = usable and _link(stage, wanted, folder)
            if is_cached and change:
                print(f"{record.stage}: no row is reused, as {change}")
            elif usable and not is_cached and not change and repo.config["core"].get("remote"):
                print(f"{record.stage}: no row is reused: `dvc pull` fetches the last outputs")
            usable = is_cached and not change
        yield Reuse(key, folder if usable else None)


def key(record: Record) -> str:
    """Return a digest of all that the results of a stage depend on, its data included."""
    with repository() as repo:
        (stage,) = repo.stage.collect(record.stage)
        return _digest(record, stage.deps)


def input_hashes(stage: str) -> dict[str, str]:
    """Return DVC's hashes of the data that a stage reads, by path."""
    with repository() as repo:
        (entry,) = repo.stage.collect(stage)
        return _hashes(dep for dep in entry.deps if not pipeline.is_code(dep.def_path))


def last_record(stage: str) -> Record | None:
    """Return the record of the last run of a stage, or None if dvc.lock or the cache has none.

    DVC removes the record in the workspace before it runs the stage again.
    """
    if not paths.LOCK.is_file():
        return None
    file = paths.record(stage)
    with repository() as repo:
        (entry,) = repo.stage.collect(stage)
        hashes = {out.def_path: out.hash_info.value for out in entry.outs}
        found = cached(repo.cache.local, hashes[file.parent.as_posix()])
        return records.read(found[file.name]) if found else None


def cached(cache: "HashFileDB", digest: str | None) -> dict[str, Path] | None:
    """Return the path in DVC's cache of each file of a folder, by its path below the folder.

    Return None if `digest` is not the hash of a folder of which the cache has all files.
    """
    from dvc_data.hashfile.hash_info import HashInfo  # slow to import
    from dvc_data.hashfile.tree import Tree

    if not digest or not cache.exists(digest) or not digest.endswith(".dir"):
        return None
    tree = Tree.load(cache, HashInfo(cache.hash_name, digest))
    found = {"/".join(name): Path(cache.oid_to_path(info.value)) for name, _, info in tree}
    return found if all(path.is_file() for path in found.values()) else None


@contextmanager
def repository(root: Path | None = None) -> "Iterator[Repo]":
    """Yield DVC's repository at `root`, by default the current one.

    Raises SeedlingsError if there is none.
    """
    from dvc.exceptions import NotDvcRepoError  # slow to import
    from dvc.repo import Repo

    try:
        repo = Repo(root)
    except NotDvcRepoError as error:
        raise SeedlingsError(
            f"expected a repository of DVC in {root or Path.cwd()}, found none; run `dvc init`"
        ) from error
    with repo:
        yield repo


def _digest(record: Record, deps: Iterable[Any]) -> str:
    """Return a digest of the parameters of a stage and of the content of some of its deps."""
    text = json.dumps([record.stage, record.params, _hashes(deps)], sort_keys=True)
    return sha256(text.encode()).hexdigest()


def _hashes(deps: Iterable[Any]) -> dict[str, str]:
    """Return DVC's hashes of some deps on disk now, by path; those in dvc.lock may be older."""
    files = (dep for dep in deps if dep.def_path != str(paths.PARAMS))
    return {dep.def_path: dep.get_hash().value for dep in files}


def _change(
    stage: "PipelineStage", record: Record, code: Iterable[Any], *, with_params: bool
) -> str | None:
    """Return what other than data differs from the entry of a stage in dvc.lock, or None."""
    (declared,) = stage.params
    before = params.flatten(declared.hash_info.value)
    names = sorted({*before, *record.params}) if with_params else []
    changed = ["the command"] if stage.cmd_changed else []
    changed += [name for name in names if before.get(name) != record.params.get(name)]
    changed += [dep.def_path for dep in code if dep.status()]
    return f"{', '.join(changed)} changed since dvc.lock" if changed else None


def _link(stage: "PipelineStage", wanted: Collection[Path], folder: Path) -> bool:
    """Link the wanted outputs into `folder`, and return whether DVC's cache has them."""
    for out in stage.outs:
        if Path(out.def_path) in wanted:
            files = cached(out.cache, out.hash_info.value)
            if files is None:
                return False
            for name, path in files.items():
                link = folder / out.def_path / name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.resolve())
    return True
