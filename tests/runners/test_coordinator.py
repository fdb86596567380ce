"""The coordinator: which jobs run, and what becomes of them, with commands that only pretend."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import searches
from optuna.storages import RDBStorage
from searches import OPTIMIZER, RATE, TREE, made

from seedlings.errors import SeedlingsError
from seedlings.runners import coordinator, executions, runner
from seedlings.runners.coordinator import Coordinator
from seedlings.runners.executions import Execution, Place
from seedlings.search.space import Space
from seedlings.search.study import Study
from seedlings.tracking import git

PARAMETERS = {OPTIMIZER: {"choices": ["sgd", "adam"]}, RATE: {"range": [0.001, 0.1], "log": True}}
FULL = "OSError: [Errno 28] No space left on device\nERROR: failed to reproduce 'finetune'"
FOREVER = float("inf")
WRITES = (  # to the database
    "create_new_trial",
    *(f"set_trial_{what}" for what in ("intermediate_value", "system_attr", "user_attr")),
    *("set_trial_state_values", "set_study_user_attr"),
)
DATABASE = Path(".dvc/tmp/searches/head.db")


@dataclass
class Ending:
    """How a command ends: its exit code, its output, and the score after each epoch."""

    code: int = 0
    output: str = ""
    curve: Sequence[float] = (0.1, 0.2)
    is_restored: bool = False  # from DVC's cache, so that there are no epochs to look at


class KilledError(Exception):
    """The search itself is killed."""


@dataclass
class Machine:
    """A pool whose commands pretend; it is asked how each of them ends."""

    ending: Callable[[str, Mapping[str, Any]], Ending]
    commands: list[list[str]] = field(default_factory=list)
    values: list[Mapping[str, Any]] = field(default_factory=list)
    running: list["Command"] = field(default_factory=list)
    most: int = 0  # commands that ran at the same time

    @property
    def names(self) -> list[str]:
        """The names of the experiments, in the order in which they began."""
        return [command[4] for command in self.commands if command[1] == "exp"]

    def start(self, command: Sequence[str], clone: Any, settings: Mapping[str, str]) -> "Command":
        assert settings["SEEDLINGS_TRACKING"] == "off"
        clone.make()
        values, folder = clone.values, clone.folder
        self.commands.append([*command])
        self.values.append(values)
        ending = self.ending(command[4] if command[1] == "exp" else "shared", values)
        self.running.append(Command(self, ending, folder, Path(settings["SEEDLINGS_TRIAL"])))
        self.most = max(self.most, len(self.running))
        return self.running[-1]


class Command:
    """A command that has one epoch at each look."""

    def __init__(self, machine: Machine, ending: Ending, folder: Path, messages: Path) -> None:
        self._machine, self._ending, self._folder = machine, ending, folder
        self._log, self._messages = folder.with_name("clone.log"), messages
        self._steps, self._code = self._run(), None
        self._log.write_text("", encoding="utf-8")

    def poll(self) -> int | None:
        if self._code is None:
            self._code = next(self._steps)
            if self._code is not None:
                self._machine.running.remove(self)
        return self._code

    def end(self) -> None:
        if self._code is None:
            self._code = -9
            self._machine.running.remove(self)

    def _run(self) -> Iterator[int | None]:
        yield None
        for value in () if self._ending.is_restored else self._ending.curve:
            with (self._messages / "epochs").open("a", encoding="utf-8") as file:
                print(json.dumps({"val_accuracy": value, "val_loss": 1.0}), file=file)
            yield None
            if (self._messages / "stop").exists():
                self._log.write_text("the search stops this trial", encoding="utf-8")
                yield 1
        self._log.write_text(self._ending.output, encoding="utf-8")
        for path, text in searches.records(self._ending.curve[-1], self._ending.curve).items():
            (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self._folder / path).write_text(text, encoding="utf-8")
        yield self._ending.code


@dataclass
class PretendedClone:
    """A folder in place of a clone; what it hands over is an experiment at once."""

    project: Path
    folder: Path
    commit: str
    values: Mapping[str, Any]
    lock: str

    def make(self) -> None:
        self.folder.mkdir()

    def hand_over(self, name: str) -> str:
        text = (self.folder / "reports" / "finetune" / "record.json").read_text(encoding="utf-8")
        curve = json.loads(text)["curves"]["val_accuracy"]
        return searches.experiment(
            name, self.values, curve[-1], curve=curve, on=self.values["evaluate.split"]
        )


def score(values: Mapping[str, Any]) -> float:
    """The accuracy of a trial, which is best at a learning rate of 0.02."""
    return round(0.9 - abs(values.get(RATE, 0.003) - 0.02), 6)


def usual(name: str, values: Mapping[str, Any]) -> Ending:
    return Ending(curve=[score(values) / 2, score(values)])


class Search:
    """A search in a small repository."""

    def __init__(self, folder: Path, commit: str) -> None:
        self.folder, self.commit = folder, commit
        self.said: list[str] = []
        self.logged: list[int] = []

    def load(self, space: Space | None = None, name: str = "head") -> Study:
        return Study(name, space or made(PARAMETERS), self.commit, TREE)

    def run(
        self,
        count: int,
        ending: Callable[[str, Mapping[str, Any]], Ending] = usual,
        *,
        jobs: int = 1,
        deadline: float = FOREVER,
        space: Space | None = None,
        name: str = "head",
        is_best_run: bool = False,
    ) -> Machine:
        """Do what the command does, on a machine that pretends."""
        found, machine = self.load(space, name), Machine(ending)
        place = Place(self.folder, self.commit, machine, jobs)
        runs = Coordinator(
            found, place, say=self.said.append, log=lambda t: self.logged.append(t.number + 1)
        )
        try:
            self.is_complete = runs.run(count, deadline)
            if is_best_run and self.is_complete:
                runs.run_best()
        finally:
            assert not machine.running
            executions.clear(self.folder)
            assert not self.folder.exists()
        return machine

    def trials(self, name: str = "head", space: Space | None = None) -> list[Any]:
        return [
            (t.number, t.state.name, t.params, t.value, t.intermediate_values)
            for t in self.load(space, name).trials
        ]


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    (tmp_path / "project").mkdir()
    commit = searches.repository(tmp_path / "project", monkeypatch)
    monkeypatch.setattr(executions, "Clone", PretendedClone)
    monkeypatch.setattr(runner, "_PAUSE", 0.0)
    return Search(tmp_path / "clones", commit)


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_trial_runs_once_and_the_start_is_the_first(search: Search, jobs: int) -> None:
    machine = search.run(6, jobs=jobs)
    assert machine.names == ["head-start", *[f"head-000{n}" for n in range(1, 7)]]
    assert machine.most == jobs
    assert search.is_complete
    shared = ["dvc", "repro", "download", "split", "segment", "extract", "baseline"]
    assert [c for c in machine.commands if c[1] == "repro"] == ([shared] if jobs > 1 else [])
    assert machine.commands[-1] == ["dvc", "exp", "run", "--name", "head-0006"]
    assert {values["evaluate.split"] for values in machine.values} == {"validation"}
    trials = search.load().trials
    assert [t.value for t in trials] == [score(t.params) for t in trials]
    assert len({t.params[RATE] for t in trials}) == 6
    assert sorted(search.logged) == [1, 2, 3, 4, 5, 6]
    found = searches.experiments()
    assert sorted(found) == sorted(machine.names)
    assert found["head-start"] == {**TREE, "evaluate": {**TREE["evaluate"], "split": "validation"}}
    for trial in trials:
        assert (
            found[f"head-000{trial.number + 1}"]["finetune"]["optimizer"]["name"]
            == (trial.params[OPTIMIZER])
        )


def test_the_same_command_again_runs_nothing_and_a_larger_one_the_rest(search: Search) -> None:
    search.run(3, is_best_run=True)
    assert search.run(3, is_best_run=True).names == []
    assert search.run(4).names == ["head-0004"]


def test_a_search_of_another_commit_with_the_same_name_runs_everything(search: Search) -> None:
    first = search.run(2, is_best_run=True)
    DATABASE.unlink()  # as in the clone of a team-mate, who pulled the experiments
    git.run("commit", "--quiet", "--allow-empty", "--message", "More")
    search.commit = git.run("rev-parse", "HEAD")
    assert search.run(2, is_best_run=True).names == first.names
    titles = [one.title for one in git.experiments() if one.baseline == search.commit]
    assert titles == [f"{name} (baseline {search.commit[:7]})" for name in sorted(first.names)]


def test_a_line_for_each_trial_names_its_score_and_the_best(search: Search) -> None:
    search.run(2)
    first, second = search.load().trials
    best = max(first, second, key=lambda t: t.value)
    assert search.said[0] == f"head-0001: {first.value:.4g} (best head-0001: {first.value:.4g})"
    assert search.said[1] == (
        f"head-0002: {second.value:.4g} (best head-000{best.number + 1}: {best.value:.4g})"
    )


@pytest.mark.parametrize(
    "killed", [Ending(-9), Ending(255, "failed to run: python -m seedlings.run x, exited with -9")]
)
def test_a_killed_job_runs_again_at_most_three_times(search: Search, killed: Ending) -> None:
    killings = {"head-start": 1, "head-0001": 2, "head-0002": 99}

    def ending(name: str, values: Mapping[str, Any]) -> Ending:
        killings[name] = killings.get(name, 0) - 1
        return killed if killings[name] >= 0 else usual(name, values)

    machine = search.run(3, ending)
    again = Counter(machine.names)
    assert again == {"head-start": 2, "head-0001": 3, "head-0002": 3, "head-0003": 1}
    assert [t.state.name for t in search.load().trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    of_trial = [machine.values[n] for n, name in enumerate(machine.names) if name == "head-0001"]
    assert of_trial[0] == of_trial[1] == of_trial[2]
    assert search.said[0] == "head-start: its processes were killed; it runs again"


def test_a_failed_trial_is_kept_with_its_output(search: Search) -> None:
    output = "\n".join(["Running", "ResourceExhaustedError: no memory", "", "ERROR: failed"])

    def ending(name: str, values: Mapping[str, Any]) -> Ending:
        return Ending(255, output) if name in ("head-0002", "head-0004") else usual(name, values)

    assert len(search.run(5, ending).names) == 6
    trials = search.load().trials
    assert [t.number for t in trials if t.state.name == "FAIL"] == [1, 3]
    assert (
        trials[1].user_attrs["reason"]
        == "Running\nResourceExhaustedError: no memory\nERROR: failed"
    )
    assert "head-0002: failed: ERROR: failed" in search.said
    assert sorted(searches.experiments()) == ["head-0001", "head-0003", "head-0005", "head-start"]


def test_three_failures_one_after_the_other_end_the_search(search: Search) -> None:
    def ending(name: str, values: Mapping[str, Any]) -> Ending:
        return usual(name, values) if name in ("head-start", "head-0001") else Ending(1, "broken")

    with pytest.raises(SeedlingsError, match="3 trials failed one after the other; head-0004:"):
        search.run(9, ending)
    assert [t.state.name for t in search.load().trials] == ["COMPLETE", "FAIL", "FAIL", "FAIL"]


@pytest.mark.parametrize("name", ["head-start", "shared"])
def test_a_failure_before_the_trials_ends_the_search(search: Search, name: str) -> None:
    def ending(job: str, values: Mapping[str, Any]) -> Ending:
        return Ending(1, "no images") if job == name else usual(job, values)

    match = "head-start failed:\nno images|the stages before the trials failed:\nno images"
    with pytest.raises(SeedlingsError, match=match):
        search.run(2, ending, jobs=2)
    assert {t.state.name for t in search.load().trials} <= {"RUNNING"}
    search.run(2)
    assert [t.state.name for t in search.load().trials] == ["COMPLETE", "COMPLETE"]


def test_a_full_disk_is_told_and_the_trial_runs_the_next_time(search: Search) -> None:
    def ending(name: str, values: Mapping[str, Any]) -> Ending:
        return Ending(1, FULL) if name == "head-0002" else usual(name, values)

    with pytest.raises(
        SeedlingsError, match="head-0002: the disk is full; free some space and run"
    ):
        search.run(3, ending)
    assert [t.state.name for t in search.load().trials] == ["COMPLETE", "RUNNING"]
    before = search.trials()[1][2]
    assert search.run(3).names == ["head-0002", "head-0003"]
    assert search.trials()[1][2] == before


def pruned_space(**others: Any) -> Space:
    return made(PARAMETERS, pruner="median", **others)


@pytest.mark.slow
@pytest.mark.parametrize("is_restored", [False, True])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bad_trial_is_pruned(search: Search, is_restored: bool, jobs: int) -> None:
    def ending(name: str, values: Mapping[str, Any]) -> Ending:
        is_bad = name == "head-0007"
        # The pruner begins with the third epoch, and compares the best values so far.
        curve = [0.5, 0.4, 0.3, 0.2, 0.1, 0.9] if is_bad else [0.1, 0.2, 0.6, 0.7, 0.8, 0.8]
        return Ending(curve=curve, is_restored=is_bad and is_restored)

    search.run(8, ending, jobs=jobs, space=pruned_space())
    trials = search.load(pruned_space()).trials
    assert [t.number for t in trials if t.state.name != "COMPLETE"] == [6]
    assert (trials[6].state.name, trials[6].user_attrs) == ("PRUNED", {})
    assert trials[6].intermediate_values == {1: 0.5, 2: 0.4, 3: 0.3}
    assert "head-0007" not in searches.experiments()
    assert "head-0007: pruned after epoch 3" in search.said
    assert search.run(8, ending, space=pruned_space()).names == []


def test_after_the_deadline_no_trial_starts(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    search.run(2)
    assert search.run(9, deadline=time.monotonic() - 1.0, is_best_run=True).names == []
    assert not search.is_complete
    assert search.run(2, deadline=time.monotonic() - 1.0).names == []
    assert search.is_complete

    clock = [0.0]
    own = SimpleNamespace(monotonic=lambda: clock[0])
    monkeypatch.setattr(coordinator, "time", own)

    def ending(name: str, values: Mapping[str, Any]) -> Ending:
        clock[0] += 2.0
        return usual(name, values)

    assert search.run(9, ending, deadline=1.0).names == ["head-0003"]
    assert [t.state.name for t in search.load().trials] == ["COMPLETE"] * 3


def test_a_space_with_fewer_settings_than_trials_ends(search: Search) -> None:
    space = made({OPTIMIZER: {"choices": ["sgd", "adam"]}})
    machine = search.run(9, jobs=3, space=space, is_best_run=True)
    assert machine.names == ["head-start", "head-0001", "head-0002", "head-best"]
    assert search.is_complete


def test_the_best_runs_once_on_test_images(search: Search) -> None:
    machine = search.run(3, is_best_run=True)
    assert machine.names.count("head-best") == 1
    best = search.load().best
    assert best
    assert machine.values[-1] == {**best.params, "evaluate.split": "test"}
    assert searches.experiments()["head-best"]["evaluate"]["split"] == "test"
    assert search.load().tested == [best.number]


def better(name: str, values: Mapping[str, Any]) -> Ending:
    return Ending(curve=[0.9, 0.99])


def test_the_best_runs_again_only_if_another_trial_is_best(search: Search) -> None:
    def worse(name: str, values: Mapping[str, Any]) -> Ending:
        return Ending(curve=[0.1, 0.1])

    search.run(3, is_best_run=True)
    assert search.run(4, worse, is_best_run=True).names == ["head-0004"]
    assert search.run(5, better, is_best_run=True).names == ["head-0005", "head-best"]
    assert search.load().tested[1:] == [4]
    best = searches.experiments()["head-best"]
    assert best["finetune"]["optimizer"]["learning_rate"] == search.trials()[4][2][RATE]


def test_a_kill_while_the_best_runs_again_lets_it_run(search: Search) -> None:
    search.run(3, is_best_run=True)

    def ending(name: str, values: Mapping[str, Any]) -> Ending:
        if name == "head-best":
            raise KilledError
        return better(name, values)

    with pytest.raises(KilledError):
        search.run(4, ending, is_best_run=True)
    assert search.run(4, better, is_best_run=True).names == ["head-best"]
    assert search.run(4, better, is_best_run=True).names == []
    assert search.load().tested[1:] == [3]


def test_a_search_without_a_finished_trial_has_no_best(search: Search) -> None:
    def ending(name: str, values: Mapping[str, Any]) -> Ending:
        return usual(name, values) if name == "head-start" else Ending(1, "broken")

    assert search.run(2, ending, is_best_run=True).names == ["head-start", "head-0001", "head-0002"]


def test_an_interrupt_ends_all_commands(search: Search) -> None:
    def ending(name: str, values: Mapping[str, Any]) -> Ending:
        if name == "head-0003":
            raise KeyboardInterrupt
        return Ending(curve=[0.5] * 100)

    with pytest.raises(KeyboardInterrupt):  # Search.run asserts that none is left
        search.run(5, ending, jobs=4)
    assert [t.state.name for t in search.load().trials] == ["RUNNING"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["none", "median", "successive_halving", "hyperband"])
def test_a_search_with_one_job_repeats_across_kills(search: Search, pruner: str) -> None:
    space = made(PARAMETERS, pruner=pruner)

    def ending(name: str, values: Mapping[str, Any]) -> Ending:
        if name.endswith("0003"):
            return Ending(1, "broken")
        return Ending(curve=[score(values) * share for share in (0.3, 0.5, 0.8, 1.0)])

    search.run(9, ending, space=space, name="whole")
    # Each run dies somewhere else: before a command, after some looks, or before a write.
    for moment in range(14):
        dies_at(moment, search, ending, space)
    search.run(9, ending, space=space, name="killed")
    assert search.trials("killed", space) == search.trials("whole", space)
    names = [name for name in searches.experiments() if name.startswith("killed")]
    assert len(names) == 1 + sum(
        t.state.name == "COMPLETE" for t in search.load(space, "killed").trials
    )


def dies_at(moment: int, search: Search, ending: Callable, space: Space) -> None:
    """Run the search until it has done some steps: looks at commands and writes to the study."""
    left = 2 + 3 * (moment % 7)

    def step(do: Callable) -> Callable:
        def stepped(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError
            return do(*arguments, **named)

        return stepped

    with pytest.MonkeyPatch.context() as context:
        context.setattr(Command, "poll", step(Command.poll))
        for name in WRITES:
            context.setattr(RDBStorage, name, step(getattr(RDBStorage, name)))
        context.setattr(Execution, "__init__", step(Execution.__init__))
        try:
            search.run(9, ending, space=space, name="killed")
        except KilledError:
            return
