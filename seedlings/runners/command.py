"""The search as a whole: checks, trials, the best on test images, and the result."""

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from seedlings import params as all_params
from seedlings.config import params, paths
from seedlings.errors import SeedlingsError
from seedlings.runners import remote, slots
from seedlings.runners.coordinator import Coordinator
from seedlings.runners.slots import Slot
from seedlings.search import page, results, space
from seedlings.search.history import History, check_name
from seedlings.search.run_log import RunLog
from seedlings.tracking import git

Say = Callable[[str], None]
_PAGES = Path("searches")


def run(file: Path, name: str, *, count: int, jobs: int, deadline: float, say: Say) -> None:
    """Search for better parameters; see the command `search`.

    Raises SeedlingsError for a space that is not valid, outside a Git repository, with changes that
    are not committed, for a name that is in use, and if the search cannot go on.
    """
    check_name(name)
    commit = _commit()
    tree = params.read()
    all_params.check(tree)
    wanted = space.read(file, tree)
    folder = paths.home() / ".dvc" / "tmp" / "searches"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            slots.clear(folder / name)
            history = History(name, wanted, commit, tree)
            log = RunLog(history)
            names = [f"{name}-start"]
            try:
                with remote.choose(folder / name) as pool:
                    places = [
                        Slot(folder / name / f"slot-{n}", commit, pool) for n in range(1, jobs + 1)
                    ]
                    coordinator = Coordinator(history, places, say=say, log=log.log)
                    if coordinator.run(count, deadline):
                        coordinator.run_best()
                        names.append(f"{name}-best")
            finally:  # also after an error: the disk may be full
                slots.clear(folder / name)
            log.complete(names)
            _show(history, say)
    except Timeout as error:
        raise SeedlingsError(f"the search {name} runs already") from error


def _show(history: History, say: Say) -> None:
    """Print the result of a search, and write its page."""
    result = results.read(
        history.name,
        history.space,
        list(history),
        baseline=history.commit,
        looked=len(history.tested),
    )
    say("")
    for line in results.lines(result):
        say(line)
    path = _PAGES / history.name / "index.html"
    page.write(result, path)
    say(f"\nPage: {path}")


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
