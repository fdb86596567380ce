"""Revisions of the pipeline, read from Git and DVC without a checkout."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dvc.api import DVCFileSystem
from dvc.repo import Repo
from dvc_data.index import DataIndexDirError

from seedlings.config import params, paths, pipeline, records, reuse, yaml_files
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.tracking import git, outputs
from seedlings.tracking.git import Experiment


class UnknownRevisionError(SeedlingsError):
    """No commit, branch, tag or experiment has the name."""


@dataclass(frozen=True)
class Revision:
    """A revision of the pipeline: its dvc.lock, and its commit or experiment.

    `commit` is the commit with this dvc.lock, or "" for a workspace that is not committed;
    `experiment` is the DVC experiment with this commit, or None.
    """

    lock: dict[str, Any]
    tree: dict[str, Any]
    commit: str = ""
    experiment: Experiment | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of dvc.lock, 64 hex digits; it does not depend on the commit."""
        return hashlib.sha256(json.dumps(self.lock, sort_keys=True).encode()).hexdigest()

    @property
    def params(self) -> dict[str, Any]:
        """Parameters by their full keys."""
        return params.flatten(self.tree)

    def hashes(self, stage: str) -> dict[str, str]:
        """Return DVC's hash of each output of a stage, by path."""
        return {out["path"]: out["md5"] for out in self.lock[stage].get("outs", [])}

    @property
    def outputs(self) -> dict[str, str]:
        """DVC's hash of each output of all stages, by path."""
        return {path: md5 for stage in self.lock for path, md5 in self.hashes(stage).items()}

    def inputs(self, stage: str) -> dict[str, str]:
        """Return DVC's hash of each input of a stage other than code, by path."""
        deps = self.lock[stage].get("deps", [])
        return {dep["path"]: dep["md5"] for dep in deps if not pipeline.is_code(dep["path"])}

    @property
    def restore(self) -> str:
        """Command that restores this revision."""
        if self.experiment:
            # With one of several equal names, DVC applies the experiment of the present commit.
            is_unique = self.experiment.is_unique
            return f"dvc exp apply {self.experiment.name if is_unique else self.commit}"
        if self.commit:
            return f"git checkout {self.commit} && dvc checkout"
        return "not committed yet: commit dvc.lock and params.yaml, then `seedlings sync`"

    def restore_into(self, target: Path) -> dict[str, Record]:
        """Copy the reports and the model into `target`, and return the record of each stage.

        Raises SeedlingsError as `get` does.
        """
        kept = [
            p for p in map(Path, self.outputs) if paths.REPORTS in p.parents or p == paths.PACKAGED
        ]
        self.get(kept, target)
        return {stage: records.read(target / paths.record(stage)) for stage in self.lock}

    @contextmanager
    def files(self, wanted: Iterable[Path]) -> Iterator[Path]:
        """Yield a folder with copies of the files or folders at the paths `wanted`; see `get`."""
        with tempfile.TemporaryDirectory() as folder:
            self.get(wanted, Path(folder))
            yield Path(folder)

    def get(self, wanted: Iterable[Path], target: Path) -> None:
        """Copy the files or folders at the paths `wanted` into the folder `target`.

        Raises SeedlingsError if neither DVC's cache nor the remote has them.
        """
        left = {*wanted}
        with reuse.repository() as repo:
            for output in self.outputs:
                inside = {path for path in left if path.is_relative_to(output)}
                if inside:
                    left -= self._copy_cached(repo, output, inside, target)
        if left:
            self._pull(sorted(left), target)

    def _copy_cached(self, repo: Repo, output: str, wanted: set[Path], target: Path) -> set[Path]:
        """Copy files or folders in an output from DVC's cache; return those that it has.

        This is quicker than DVC's file system, which builds an index of each revision.
        """
        copied = set()
        files = reuse.cached(repo.cache.local, self.outputs[output]) or {}
        for name, file in files.items():
            path = Path(output) / name
            if found := wanted & {path, *path.parents}:
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target / path)
                copied |= found
        return copied

    def _pull(self, wanted: Iterable[Path], target: Path) -> None:
        """Copy files or folders that DVC's file system may have to fetch from a remote."""
        path = Path()
        try:
            with outputs.repository() as repo, repo.switch(self.commit or outputs.WORKSPACE):
                for path in wanted:
                    (target / path).parent.mkdir(parents=True, exist_ok=True)
                    _copy(repo.dvcfs, path.as_posix(), str(target / path))
        except (OSError, DataIndexDirError, SeedlingsError) as error:
            option = " --all-commits" if self.commit and not self.experiment else ""
            raise SeedlingsError(
                f"{self.name}: expected {path} in DVC's cache or remote, found none; "
                f"run `seedlings push{option}` where it was made and `seedlings pull{option}` here"
            ) from error

    @property
    def name(self) -> str:
        """Name of the revision in messages: the experiment, the commit, or `workspace`."""
        if self.experiment:
            return self.experiment.title
        return self.commit[:7] or outputs.WORKSPACE


def _copy(system: DVCFileSystem, source: str, target: str) -> None:
    """Copy a file or folder; `get` would read `[` and `*` in the name of a file as a pattern."""
    if system.isdir(source):
        system.get(source, target, recursive=True)
    else:
        system.get_file(source, target)


def current() -> Revision:
    """Return the revision of the workspace. Raises SeedlingsError if stages have to run first."""
    lock = pipeline.locked()
    with outputs.repository() as repo:
        changed = repo.status()
    if not lock or changed:
        stale = ", ".join(changed) or "all"
        raise SeedlingsError(
            f"the workspace is not what dvc.lock says ({stale}): run `dvc repro` first"
        )
    head = git.ask("rev-parse", "HEAD")
    committed = _lock_at(head) == lock if head else False
    return Revision(lock, params.read(), head if committed else "")


def at(name: str, baseline: str = "") -> Revision:
    """Return the revision of a commit, a branch, a tag, or an experiment of DVC, by its name.

    With `baseline`, a commit, only the experiments that started from it are known by their names.
    Raises UnknownRevisionError if there is no such revision, and SeedlingsError if it has no
    dvc.lock, or if several experiments have the name.
    """
    experiments = git.experiments()
    found = [e for e in experiments if e.name == name and baseline in ("", e.baseline)]
    if len(found) > 1:
        raise SeedlingsError(
            f"expected the name of one experiment, found {len(found)} with the name {name!r}; use "
            "the commit of one: "
            + ", ".join(f"{e.commit[:7]} (baseline {e.baseline[:7]})" for e in found)
        )
    commit = found[0].commit if found else git.ask("rev-parse", "--verify", f"{name}^{{commit}}")
    if not commit:
        raise UnknownRevisionError(f"expected a revision or an experiment, found {name!r}")
    found = found or [e for e in experiments if e.commit == commit]
    revision = _revision(commit, found[0] if found else None)
    if revision is None:
        raise SeedlingsError(f"{name}: there is no dvc.lock at this revision")
    return revision


def every() -> Iterator[Revision]:
    """Yield each distinct revision of all commits and experiments once; commits come first."""
    experiments = {found.commit: found for found in reversed(git.experiments())}
    commits = git.ask("rev-list", "--branches", "--tags", "--remotes").split()
    commits += reversed(experiments)
    names = "\n".join(f"{commit}:{paths.LOCK}" for commit in commits)
    locks = git.run("cat-file", "--batch-check=%(objectname)", text=names).splitlines()
    seen = set()
    for commit, lock in zip(commits, locks, strict=True):
        if lock in seen or lock.endswith(" missing"):
            continue
        revision = _revision(commit, experiments.get(commit))
        if revision and revision.digest not in seen:
            seen |= {lock, revision.digest}
            yield revision


def _revision(commit: str, experiment: Experiment | None) -> Revision | None:
    lock = _lock_at(commit)
    if not lock:
        return None
    tree = yaml_files.parse(git.ask("show", f"{commit}:{paths.PARAMS}"))
    return Revision(lock, tree, commit, experiment)


def _lock_at(commit: str) -> dict[str, Any]:
    return pipeline.parse_stages(git.ask("show", f"{commit}:{paths.LOCK}"))
