"""The search as a whole: checks, trials, the best on test images, and the result."""

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from seedlings import params as all_params
from seedlings.config import params, paths
from seedlings.errors import SeedlingsError
from seedlings.search import slots, space
from seedlings.search.coordinator import Coordinator
from seedlings.search.history import History, check_name
from seedlings.search.processes import Here
from seedlings.search.slots import Slot
from seedlings.tracking import git

Say = Callable[[str], None]


def run(file: Path, name: str, *, count: int, jobs: int, deadline: float, say: Say) -> None:
    """Search for better parameters; see the command `search`.

    Raises SeedlingsError for a space that is not valid, outside a Git repository, with changes that
    are not committed, for a name that is in use, and if the search cannot go on.
    """
    check_name(name)
    commit = _commit()
    all_params.load()
    tree = params.read()
    wanted = space.read(file, tree)
    folder = paths.home() / ".dvc" / "tmp" / "searches"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            slots.clear(folder / name)
            history = History(name, wanted, commit, tree)
            places = [Slot(folder / name / f"slot-{n}", commit, Here()) for n in range(1, jobs + 1)]
            coordinator = Coordinator(history, places, say=say, log=lambda trial: None)
            if coordinator.run(count, deadline):
                coordinator.run_best()
            slots.clear(folder / name)
    except Timeout as error:
        raise SeedlingsError(f"the search {name} runs already") from error


def _commit() -> str:
    """Return the commit of the workspace. Raises SeedlingsError if trials cannot start from it."""
    commit = git.ask("rev-parse", "HEAD")
    if not commit:
        raise SeedlingsError(
            "expected a Git repository with a commit, found none; trials start from a commit"
        )
    if git.ask("rev-parse", "--show-toplevel") != os.path.realpath(Path.cwd()):
        raise SeedlingsError("expected the root of a Git repository, found a folder inside one")
    changed = git.run("status", "--porcelain", "--untracked-files=no")
    if changed:
        raise SeedlingsError(
            "expected a workspace without changes, as trials start from a commit; commit or stash "
            f"these first:\n{changed}"
        )
    return commit
