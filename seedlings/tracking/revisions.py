"""Revisions of the pipeline, read from Git and DVC without a checkout."""

import hashlib
import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc_data.index import DataIndexDirError

from seedlings.config import params, paths, pipeline, records, yaml_files
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.tracking import git, outputs


class UnknownRevisionError(SeedlingsError):
    """No commit, branch, tag or experiment has the name."""


@dataclass(frozen=True)
class Revision:
    """A revision of the pipeline: its dvc.lock, and its commit or experiment.

    `commit` is the commit with this dvc.lock, or "" for a workspace that is not committed;
    `experiment` is the name of the DVC experiment, or ""; `baseline` is the commit from which the
    experiment started if another experiment has its name, else "".
    """

    commit: str
    experiment: str
    lock: dict[str, Any]
    tree: dict[str, Any]
    baseline: str = ""

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
    def outputs(self) -> list[str]:
        """Paths of the outputs of all stages."""
        return [path for stage in self.lock for path in self.hashes(stage)]

    def inputs(self, stage: str) -> dict[str, str]:
        """Return DVC's hash of each input of a stage other than code, by path."""
        deps = self.lock[stage].get("deps", [])
        return {
            dep["path"]: dep["md5"] for dep in deps if not dep["path"].startswith(pipeline.CODE)
        }

    @property
    def restore(self) -> str:
        """Command that restores this revision."""
        if self.experiment:
            # With one of several equal names, DVC applies the experiment of the present commit.
            return f"dvc exp apply {self.commit if self.baseline else self.experiment}"
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

    def get(self, wanted: Iterable[Path], target: Path) -> None:
        """Copy the files or folders at the paths `wanted` into the folder `target`.

        Raises SeedlingsError if neither DVC's cache nor the remote has them.
        """
        # The revision may be older than the remote, so that its own .dvc/config has none.
        system = DVCFileSystem(rev=self.commit or None, remote=outputs.default_remote())
        path = Path()
        try:
            for path in wanted:
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                _copy(system, path.as_posix(), str(target / path))
        except (OSError, DataIndexDirError, DvcException) as error:
            option = " --all-commits" if self.commit and not self.experiment else ""
            raise SeedlingsError(
                f"{self.name}: expected {path} in DVC's cache or remote, found none; "
                f"run `seedlings push{option}` where it was made and `seedlings pull{option}` here"
            ) from error

    @property
    def name(self) -> str:
        """Name of the revision in messages: the experiment, the commit, or `workspace`."""
        if self.baseline:
            return f"{self.experiment} (baseline {self.baseline[:7]})"
        return self.experiment or self.commit[:7] or "workspace"


def _copy(system: DVCFileSystem, source: str, target: str) -> None:
    """Copy a file or folder; `get` would read `[` and `*` in the name of a file as a pattern."""
    if system.isdir(source):
        system.get(source, target, recursive=True)
    else:
        system.get_file(source, target)


def current() -> Revision:
    """Return the revision of the workspace. Raises SeedlingsError if stages have to run first."""
    lock = pipeline.locked()
    changed = json.loads(_run("dvc", "status", "--json"))
    if not lock or changed:
        stale = ", ".join(changed) or "all"
        raise SeedlingsError(
            f"the workspace is not what dvc.lock says ({stale}): run `dvc repro` first"
        )
    head = git.ask("rev-parse", "HEAD")
    committed = _lock_at(head) == lock if head else False
    return Revision(head if committed else "", "", lock, params.read())


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
    seen = set()
    for commit in [*commits, *reversed(experiments)]:
        revision = _revision(commit, experiments.get(commit))
        if revision and revision.digest not in seen:
            seen.add(revision.digest)
            yield revision


def _revision(commit: str, experiment: git.Experiment | None) -> Revision | None:
    lock = _lock_at(commit)
    if not lock:
        return None
    tree = yaml_files.parse(git.ask("show", f"{commit}:{paths.PARAMS}"))
    if experiment is None:
        return Revision(commit, "", lock, tree)
    baseline = "" if experiment.is_unique else experiment.baseline
    return Revision(commit, experiment.name, lock, tree, baseline)


def _lock_at(commit: str) -> dict[str, Any]:
    return pipeline.parse_stages(git.ask("show", f"{commit}:{paths.LOCK}"))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SeedlingsError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout
