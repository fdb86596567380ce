"""Clones: copies of the project in which trials run, with the project's DVC cache.

A trial changes nothing in the workspace of the user; its experiment is fetched from the clone.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedlings.config import params, paths, pipeline, yaml_files
from seedlings.data.sources import SOURCES
from seedlings.errors import SeedlingsError
from seedlings.tracking import git

_LINKS = ["reflink", "hardlink", "symlink", "copy"]
_IDENTITY = {"user.name": "Seedlings", "user.email": "seedlings@localhost"}


@dataclass(frozen=True, slots=True)
class Clone:
    """A clone of a project at a commit, with other parameters."""

    project: Path
    folder: Path
    commit: str
    values: Mapping[str, Any]  # by full keys
    lock: str = ""  # the dvc.lock, by default that of the commit

    def make(self) -> None:
        """Make the clone, in a folder that does not exist."""
        folder = self.folder
        # It reads the objects of the project; the new ones, of its experiments, are its own.
        git.run("clone", "--quiet", "--shared", "--no-checkout", str(self.project), str(folder))
        git.run("checkout", "--quiet", "--detach", self.commit, folder=folder)
        for key, value in _IDENTITY.items():
            known = git.ask("-C", str(self.project), "config", key)
            git.run("config", key, known or value, folder=folder)
        self._configure()
        tree = yaml_files.read(folder / paths.PARAMS)
        self._link_data(tree)
        file = folder / paths.PARAMS
        text = yaml_files.edit(file.read_text(encoding="utf-8"), params.changed(tree, self.values))
        file.write_text(text, encoding="utf-8")
        if self.lock:
            (folder / paths.LOCK).write_text(self.lock, encoding="utf-8")

    def hand_over(self, experiment: str) -> str:
        """Fetch an experiment into the project in the current folder; return its commit.

        Raises SeedlingsError if the clone has no experiment of this name, or Git fails.
        """
        refs = git.run("for-each-ref", "--format=%(refname)", "refs/exps", folder=self.folder)
        ref = next((r for r in refs.splitlines() if r.endswith(f"/{experiment}")), experiment)
        git.run(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            str(self.folder),
            f"+{ref}:{ref}",
        )
        return git.run("rev-parse", ref)

    def _configure(self) -> None:
        """Let DVC use the cache of the project, and keep its own state in the clone.

        The file is written as DVC does, but in UTF-8: `Config.edit` fails at a letter that is not
        ASCII, such as one in the path of the project (seen in DVC 3.67).
        """
        from configobj import ConfigObj  # slow to import; a part of DVC
        from dvc.repo import Repo

        with Repo(str(self.project)) as project:
            cache = Path(project.cache.local.path).parents[1]
            links = project.config["cache"].get("type") or _LINKS
        local = self.project / ".dvc" / "config.local"
        config = ConfigObj(str(local), encoding="utf-8")  # empty if it does not exist
        config.setdefault("cache", {}).update({"dir": str(cache), "type": links})
        site = self.folder / ".dvc" / "tmp" / "site"
        config.setdefault("core", {})["site_cache_dir"] = str(site)
        with (self.folder / ".dvc" / "config.local").open("wb") as file:
            config.write(file)

    def _link_data(self, tree: Mapping[str, Any]) -> None:
        """Link the files of the user that parameters name and Git does not have."""
        data, weights = tree["data"], str(tree["extract"]["weights"])
        reads_path = "path" in SOURCES[data["source"]].reads and not data["url"]
        wanted = [Path(data["path"])] if reads_path else []
        if weights.endswith(".h5"):
            wanted.append(Path(weights))
        for path in wanted:
            if not path.is_absolute():
                _mirror(self.project / path, self.folder / path)


def start_commit() -> str:
    """Return the commit of the workspace, from which experiments in clones start.

    Raises SeedlingsError outside a Git repository, or with changes that are not committed.
    """
    commit = git.ask("rev-parse", "HEAD")
    if not commit:
        raise SeedlingsError(
            "expected a Git repository with a commit, found none; experiments start from a commit"
        )
    if git.ask("rev-parse", "--show-toplevel") != os.path.realpath(Path.cwd()):
        raise SeedlingsError("expected the root of a Git repository, found a folder inside one")
    changed = git.run("status", "--porcelain", "--untracked-files=no")
    if changed:
        raise SeedlingsError(
            "expected a workspace without changes, as experiments start from a commit; commit "
            f"or stash these first:\n{changed}"
        )
    return commit


def shared_stages(keys: set[str]) -> list[str]:
    """Return the stages whose results no parameter in `keys` changes, in order."""
    known = params.flatten(params.read())
    found = pipeline.read()
    affected: set[str] = set()
    for stage in found.stages:
        declared = found.declared(stage, known)
        if keys & declared.keys() or affected & {*found.reads(stage)}:
            affected.add(stage)
    return [stage for stage in found.stages if stage not in affected]


def _mirror(source: Path, target: Path) -> None:
    """Link each file of a folder, or a file; DVC does not follow links to folders."""
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.symlink_to(source)
        return
    for folder, _, names in os.walk(source, followlinks=True):
        place = target / Path(folder).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            if not (place / name).exists():
                (place / name).symlink_to(Path(folder) / name)
