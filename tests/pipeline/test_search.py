"""A search in a project: what it leaves, also after kills, and what it refuses."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import in_process
import optuna
import pytest
from project import Project

from seedlings.config import params, yaml_files

pytestmark = pytest.mark.slow

SPACE = """
objective: validation/accuracy
direction: maximize
sampler: random
parameters:
  finetune.optimizer.learning_rate: {range: [1.0e-3, 1.0e-1], log: true}
  finetune.head.dropout: {choices: [0.0, 0.3]}
"""
# Each run of the stage extract adds a line to the file that the environment names.
COUNTED = 'import os\nprint("ran", file=open(os.environ["COUNT"], "a"))\n'
# A training that takes long enough to be killed, where the environment asks for it.
PAUSED = 'import os, time\ntime.sleep(float(os.environ.get("PAUSE", "0")))\n'
SEARCH = ("seedlings", "search", "head.yaml", "--jobs", "2", "--trials")
KILLED = ("seedlings", "search", "killed.yaml", "--jobs", "2", "--trials", "2")


@pytest.fixture(scope="module")
def project(
    with_fake_stages: Callable[[], Project], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A project with results, and a stage extract that has not run since it was changed."""
    project = with_fake_stages()
    project.tracking = False
    (project.root / "head.yaml").write_text(SPACE, encoding="utf-8")
    # Other suggestions than of head, so that DVC's cache has no training of them.
    (project.root / "killed.yaml").write_text(f"{SPACE}seed: 1\n", encoding="utf-8")
    for stage, code in (("extract", COUNTED), ("finetune", PAUSED)):
        script = project.root / "stages" / f"{stage}.py"
        script.write_text(script.read_text(encoding="utf-8") + code, encoding="utf-8")
    project.env["COUNT"] = str(tmp_path_factory.mktemp("count") / "extract")
    project.commit("A space")
    return project


def files(project: Project) -> dict[Path, tuple[int, int]]:
    """The time and the size of the parameters, the lock, and each file of the results."""
    found = [project.root / "params.yaml", project.root / "dvc.lock"]
    for folder in ("data", "models", "reports"):
        found += [path for path in (project.root / folder).rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in found}


def commits(project: Project, name: str) -> dict[str, str]:
    """The commits of the experiments of a search, by their names."""
    listed = project.run("git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps/")
    pairs = (line.split() for line in listed.splitlines())
    found = {ref.rpartition("/")[2]: commit for ref, commit in pairs}
    return {key: commit for key, commit in found.items() if key.startswith(f"{name}-")}


def changes(project: Project, commit: str) -> dict[str, Any]:
    """The parameters of an experiment that differ from those of the workspace."""
    text = project.run("git", "show", f"{commit}:params.yaml")
    own = params.flatten(yaml_files.read(project.root / "params.yaml"))
    return {k: v for k, v in params.flatten(yaml_files.parse(text)).items() if own[k] != v}


def trials(project: Project, name: str) -> list[dict[str, Any]]:
    """The trials of a search as its database has them, in the order of their numbers."""
    file = database(project, name)
    if not file.exists():
        return []
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{file}")
    return [
        {
            "number": trial.number + 1,
            "state": trial.state.name,
            "value": trial.value,
            "values": {k: float(value) for k, value in trial.params.items()},  # a choice is a text
            "experiment": trial.user_attrs.get("experiment"),
        }
        for trial in study.trials
    ]


def database(project: Project, name: str) -> Path:
    return project.root / ".dvc" / "tmp" / "searches" / f"{name}.db"


def working_below(folder: Path) -> list[int]:
    """The processes whose working folder is below a folder, or is it."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # it has ended meanwhile
            if link.readlink().is_relative_to(folder) and int(link.parent.name) != os.getpid():
                found.append(int(link.parent.name))
    return found


def assert_nothing_is_left(project: Project, name: str) -> None:
    assert not (project.root / ".dvc" / "tmp" / "searches" / name).exists()
    while working_below(project.root):  # what is forked by a server ends a moment later
        time.sleep(0.05)


def test_a_search_leaves_experiments_that_can_be_restored(project: Project, tmp_path: Path) -> None:
    before = files(project)
    output = project.run(*SEARCH, "2")
    assert (project.root / "searches" / "head" / "index.html").is_file()
    assert files(project) == before
    assert project.run("git", "status", "--porcelain") == ""
    assert_nothing_is_left(project, "head")
    # Each stage before finetune has run once, though four pipelines needed it.
    assert Path(project.env["COUNT"]).read_text(encoding="utf-8") == "ran\n"

    numbered = [f"head-000{number}" for number in (1, 2)]
    found = commits(project, "head")
    assert sorted(found) == sorted(["head-best", "head-start", *numbered])
    listed = project.run("dvc", "exp", "list", "--name-only").split()
    assert sorted(listed) == sorted(found)
    for commit in found.values():
        changed = project.run("git", "diff", "--name-only", "HEAD", commit).split()
        assert {"params.yaml", "dvc.lock"} >= {*changed}
    assert changes(project, found["head-start"]) == {"evaluate.split": "validation"}
    ended = trials(project, "head")
    for name, trial in zip(numbered, ended, strict=True):
        # A value of the space may be that of the workspace.
        assert (trial["state"], trial["experiment"]) == ("COMPLETE", found[name])
        expected = trial["values"] | {"evaluate.split": "validation"}
        assert changes(project, found[name]).items() <= expected.items()
    best = max(ended, key=lambda trial: (trial["value"], -trial["number"]))
    assert f"best head-000{best['number']}: {best['value']:.4g}" in output
    assert changes(project, found["head-best"]).items() <= best["values"].items()

    fresh = Project(tmp_path / "fresh")
    project.run("git", "clone", "--quiet", str(project.root), str(fresh.root))
    fresh.run("git", "fetch", "--quiet", "origin", "refs/exps/*:refs/exps/*")
    fresh.run("dvc", "cache", "dir", "--local", str(project.root / ".dvc" / "cache"))
    for name in ("head-0002", "head-start", "head-best"):
        fresh.run("dvc", "exp", "apply", name)
        assert fresh.ran(fresh.repro()) == [], name
        on = yaml_files.read(fresh.root / "params.yaml")["evaluate"]["split"]
        assert on == ("test" if name == "head-best" else "validation")


class Started:
    """A search that runs in the background."""

    def __init__(self, project: Project, log: Path) -> None:
        self._project, self._log = project, log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                KILLED,
                cwd=project.root,
                env={**project.env, "PAUSE": "2"},
                stdout=output,
                stderr=output,
            )

    def wait_for(self, number: int) -> Path:
        """Wait until a trial with at least this number trains; its clone."""
        while True:
            assert self.process.poll() is None, self._log.read_text(encoding="utf-8")
            for log in self._folder.glob("killed-0*/clone.log"):
                clone, output = log.with_name("clone"), ""
                with suppress(FileNotFoundError):  # it ended just now
                    output = log.read_text(encoding="utf-8")
                is_there = int(clone.parent.name.split("-")[1]) >= number
                if is_there and "Running stage 'finetune'" in output and working_below(clone):
                    return clone
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the search, with which its commands end."""
        self.process.kill()
        self.process.wait()
        while working_below(self._folder):
            time.sleep(0.05)

    @property
    def _folder(self) -> Path:
        return self._project.root / ".dvc" / "tmp" / "searches" / "killed"


def kill_command(clone: Path) -> None:
    """Kill the leader of the processes in a clone."""
    for number in working_below(clone):
        with suppress(ProcessLookupError):  # it ended just now
            if os.getpgid(number) == number:
                os.kill(number, signal.SIGKILL)


@pytest.fixture
def start(project: Project, tmp_path: Path) -> Iterator[Callable[[], Started]]:
    """Start the search in the background; what runs after the test is ended."""
    yield lambda: Started(project, tmp_path / "log")
    for number in working_below(project.root):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


@pytest.mark.nightly
def test_a_search_goes_on_after_kills(project: Project, start: Callable[[], Started]) -> None:
    search = start()
    search.wait_for(1)
    assert "the search killed runs already" in project.run(*KILLED, fails=True)
    search.kill()
    before = trials(project, "killed")
    search = start()
    kill_command(search.wait_for(2))
    search.wait_for(2)
    search.kill()
    started = trials(project, "killed")
    project.run(*KILLED)
    assert_nothing_is_left(project, "killed")
    ended = trials(project, "killed")
    assert [(t["number"], t["state"]) for t in ended] == [(1, "COMPLETE"), (2, "COMPLETE")]
    for earlier in (before, started):
        assert [t["values"] for t in ended][: len(earlier)] == [t["values"] for t in earlier]
    assert ended[0]["values"] != ended[1]["values"]
    numbered = {f"killed-000{t['number']}": t["experiment"] for t in ended}
    found = commits(project, "killed")
    assert numbered.items() <= found.items()
    assert found.keys() - numbered.keys() == {"killed-start", "killed-best"}
    assert project.run("git", "status", "--porcelain") == ""


def test_what_cannot_be_searched_is_refused(
    new_project: Callable[[], Project], tmp_path: Path
) -> None:
    project = new_project()
    space = project.root / "head.yaml"
    space.write_text(SPACE, encoding="utf-8")

    def refused(*arguments: str) -> str:
        command = (*SEARCH, "2", *arguments)  # which ends before it starts a process
        code, output = in_process.run(command, project.root, project.env)
        assert code
        assert "Traceback" not in output
        assert project.run("git", "for-each-ref", "refs/exps") == ""
        assert not (project.root / ".dvc" / "tmp" / "searches").exists()
        return output

    assert "No such option" in refused("--nonsense")
    assert "expected a --name of letters, digits, - and _, found '..'" in refused("--name", "..")
    space.write_text(SPACE.replace("validation/accuracy", "test/accuracy"), encoding="utf-8")
    assert "its test score is too high" in refused()
    space.write_text(SPACE, encoding="utf-8")
    project.set(finetune__epochs=2)
    changed = refused()
    assert "expected a workspace without changes" in changed
    assert "M params.yaml" in changed
    (project.root / ".git").rename(tmp_path / "git")
    _, output = in_process.run((*SEARCH, "2"), project.root, project.env)
    assert "expected a Git repository with a commit, found none" in output
