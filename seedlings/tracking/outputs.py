"""Outputs of commits in DVC's cache and in the DVC remote.

DVC reads a commit with the remotes in its own .dvc/config, so that it neither pushes nor pulls the
outputs of a commit that is older than the remote. Here each commit is read with the remotes of the
workspace.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.status import status
from dvc_data.hashfile.transfer import transfer
from scmrepo.exceptions import SCMError

from seedlings.errors import SeedlingsError

WORKSPACE = "workspace"  # in place of a commit, as in DVC


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a commit: its path, the hashes of its files, and the remote to which it goes."""

    path: str
    files: frozenset[HashInfo]
    remote: HashFileDB | None  # None is the default remote


@contextmanager
def repository() -> Iterator[Repo]:
    """Yield DVC's repository, which reads each commit with the remotes of the workspace.

    Raises SeedlingsError for an error of DVC.
    """
    try:
        with Repo() as workspace:
            name = default_remote(workspace)
            core = {"remote": name} if name else {}
            config = {"core": core, "remote": workspace.config["remote"]}
        with Repo(config=config) as repo:
            yield repo
    except (DvcException, SCMError) as error:
        raise SeedlingsError(str(error)) from error


def default_remote(repo: Repo) -> str:
    """Return the name of DVC's default remote, or "" if there is none."""
    return repo.config["core"].get("remote", "")


def read(repo: Repo, commit: str) -> list[Output]:
    """Return the outputs of a commit or of the workspace that have a result that DVC pushes.

    The listing of a folder is pulled if the cache does not have it. Raises SeedlingsError if DVC
    cannot read the pipeline of the commit.
    """
    try:
        with repo.switch(commit):
            return [_output(out) for out in repo.index.outs if _is_pushed(out)]
    except DvcException as error:
        raise SeedlingsError(f"DVC cannot read its pipeline: {error}") from error


def _is_pushed(out: Any) -> bool:
    return bool(out.use_cache and out.can_push and out.hash_info and not out.stage.is_repo_import)


def _output(out: Any) -> Output:
    found = out.get_used_objs(force=True, push=True)
    files = {out.hash_info, *(file for part in found.values() for file in part)}
    remote = next((odb for odb in found if odb is not None), None)
    return Output(out.def_path, frozenset(files), remote)


def copy(repo: Repo, outputs: Iterable[Output], *, push: bool) -> tuple[int, set[HashInfo]]:
    """Push the files that the remotes do not have, or pull those that the cache does not have.

    Return the number of copied files, and those that are still missing there. Raises SeedlingsError
    if a remote cannot be used.
    """
    default = repo.cloud.get_remote_odb()
    wanted: dict[HashFileDB, set[HashInfo]] = {}
    for output in outputs:
        wanted.setdefault(output.remote or default, set()).update(output.files)
    cache = repo.cache.local
    count, missing = 0, set()
    for remote, files in wanted.items():
        source, target = (cache, remote) if push else (remote, cache)
        try:
            # Each file is looked for: DVC's index has a folder as complete with its listing.
            before = status(target, files).missing
            transfer(source, target, before, verify=source.verify, cache_odb=cache)
            after = status(target, before).missing
        except Exception as error:  # each kind of remote has exceptions of its own
            why = f"{type(error).__name__}: {error}"
            raise SeedlingsError(f"the DVC remote {remote.path} does not answer: {why}") from error
        count += sum(not file.isdir for file in before - after)  # not the listings of folders
        missing |= after
    return count, missing
