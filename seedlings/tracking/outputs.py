"""Outputs of commits in DVC's cache and in the DVC remote.

DVC reads a commit with the remotes in its own .dvc/config, so that it neither pushes nor pulls the
outputs of a commit that is older than the remote. Here each commit is read with the remotes of the
workspace.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dvc.config import Config
from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo
from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.status import status
from dvc_data.hashfile.transfer import transfer

from seedlings.errors import SeedlingsError

WORKSPACE = "workspace"  # in place of a commit, as in DVC


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a commit: its path, the hashes of its files, and the remote to which it goes."""

    path: str
    files: frozenset[HashInfo]
    remote: HashFileDB


class Storage:
    """DVC's cache and the remotes of the workspace."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._cache: HashFileDB = repo.cache.local
        self._remote: HashFileDB = repo.cloud.get_remote_odb()
        self.name: str = repo.config["core"]["remote"]
        self._setting = self._setting_of_remote()
        self._known: dict[HashInfo, Output] = {}  # most outputs of two commits are the same

    def read(self, commit: str) -> list[Output]:
        """Return the outputs of a commit or of the workspace.

        The listing of a folder is pulled if the cache does not have it. Raises SeedlingsError if
        DVC cannot read the pipeline of the commit.
        """
        try:
            with self._repo.switch(commit):
                return [self._output(out) for out in self._repo.index.outs if _is_pushed(out)]
        except DvcException as error:
            raise SeedlingsError(f"DVC cannot read its pipeline: {error}") from error

    def has_same_remote(self, commit: str) -> bool:
        """Return whether the .dvc/config of a commit has the remote as that of the workspace.

        It is True if the remote of the workspace is not in its .dvc/config, but in another file.
        """
        with self._repo.switch(commit):
            return self._setting is None or self._setting == self._setting_of_remote()

    def push(self, outputs: Iterable[Output]) -> tuple[int, set[HashInfo]]:
        """Push the files that the remotes do not have.

        Return the number of pushed files, and those that the remotes still do not have. Raises
        SeedlingsError if a remote cannot be used.
        """
        return self._copy(outputs, is_push=True)

    def pull(self, outputs: Iterable[Output]) -> tuple[int, set[HashInfo]]:
        """Pull the files that the cache does not have.

        Return the number of pulled files, and those that the cache still does not have. Raises
        SeedlingsError if a remote cannot be used.
        """
        return self._copy(outputs, is_push=False)

    def _copy(self, outputs: Iterable[Output], *, is_push: bool) -> tuple[int, set[HashInfo]]:
        wanted: dict[HashFileDB, set[HashInfo]] = {}
        for output in outputs:
            wanted.setdefault(output.remote, set()).update(output.files)
        count, missing = 0, set()
        for remote, files in wanted.items():
            source, target = (self._cache, remote) if is_push else (remote, self._cache)
            try:
                # Each file is looked for: DVC's index has a folder as complete with its listing.
                before = status(target, files).missing
                transfer(source, target, before, verify=source.verify, cache_odb=self._cache)
                after = status(target, before).missing
            except Exception as error:  # each kind of remote has exceptions of its own
                why = f"{type(error).__name__}: {error}"
                raise SeedlingsError(
                    f"the DVC remote {remote.path} does not answer: {why}"
                ) from error
            count += sum(not file.isdir for file in before - after)  # not the listings of folders
            missing |= after
        return count, missing

    def _output(self, out: Any) -> Output:
        known = self._known.get(out.hash_info)
        if known is None or known.path != out.def_path:
            found = out.get_used_objs(force=True, push=True)
            files = {out.hash_info, *(file for part in found.values() for file in part)}
            remote = next((odb for odb in found if odb is not None), self._remote)
            known = self._known[out.hash_info] = Output(out.def_path, frozenset(files), remote)
        return known

    def _setting_of_remote(self) -> list[Any] | None:
        """Return what the present .dvc/config says about the remote, or None if it says nothing."""
        path = self._repo.fs.join(self._repo.dvc_dir, Config.CONFIG)
        try:
            config = Config.load_file(path, self._repo.fs)
        except FileNotFoundError:
            return None
        remote = config.get("remote", {}).get(self.name)
        return None if remote is None else [remote, config.get("core", {}).get("remote")]


def default_remote() -> str:
    """Return the name of DVC's default remote, or "" if there is none."""
    return Config.from_cwd()["core"].get("remote") or ""


@contextmanager
def repository() -> Iterator[Repo]:
    """Yield DVC's repository, which reads each commit with the remotes of the workspace.

    Raises SeedlingsError for an error of DVC.
    """
    try:
        with Repo() as workspace:
            name = workspace.config["core"].get("remote")
            core = {"remote": name} if name else {}
            config = {"core": core, "remote": workspace.config["remote"]}
        with Repo(config=config) as repo:
            yield repo
    except DvcException as error:
        raise SeedlingsError(str(error)) from error


@contextmanager
def opened() -> Iterator[Storage]:
    """Yield DVC's cache and the remotes of the workspace.

    Raises SeedlingsError if DVC has no default remote, or if another command of DVC runs.
    """
    with repository() as repo, lock_repo(repo):
        yield Storage(repo)


def _is_pushed(out: Any) -> bool:
    """Return whether an output has a result that DVC pushes."""
    return bool(out.use_cache and out.can_push and out.hash_info and not out.stage.is_repo_import)
