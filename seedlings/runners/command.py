"""The search as a whole: checks, trials, the best on test images, and the result."""

from collections.abc import Callable
from pathlib import Path

from seedlings import params as all_params
from seedlings.config import params
from seedlings.runners import clones, executions
from seedlings.runners.coordinator import Coordinator
from seedlings.search import page, results, space
from seedlings.search.run_log import RunLog
from seedlings.search.study import Study, stored
from seedlings.tracking import git

Say = Callable[[str], None]
_PAGES = Path("searches")


def run(file: Path, name: str, *, count: int, jobs: int, deadline: float, say: Say) -> None:
    """Search for better parameters; see the command `search`.

    Raises SeedlingsError for a space that is not valid, outside a Git repository, with changes that
    are not committed, for a name that is in use, and if the search cannot go on.
    """
    git.check_name(name, "a --name")
    commit = clones.start_commit()
    tree = params.read()
    all_params.check(tree)
    wanted = space.read(file, tree)
    with executions.alone("searches", name, f"the search {name}") as folder, stored(name):
        study = Study(name, wanted, commit, tree)
        log = RunLog(study)
        names = [f"{name}-start"]
        with executions.opened(folder, commit, jobs) as place:
            coordinator = Coordinator(study, place, say=say, log=log.log)
            if coordinator.run(count, deadline):
                coordinator.run_best()
                names.append(f"{name}-best")
        log.complete(names)
        _show(study, say)


def _show(study: Study, say: Say) -> None:
    """Print the result of a search, and write its page."""
    result = results.read(study)
    say("")
    for line in results.lines(result):
        say(line)
    path = _PAGES / study.name / "index.html"
    page.write(result, path)
    say(f"\nPage: {path}")
