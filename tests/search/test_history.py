"""The history of a search: what Git and the experiments say after a kill."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import searches
from searches import OPTIMIZER, RATE, TREE, experiment, made

from seedlings.errors import SeedlingsError
from seedlings.search import refs, trials
from seedlings.search.history import History
from seedlings.search.space import Space
from seedlings.search.trials import Trial
from seedlings.tracking import git

PARAMETERS = {OPTIMIZER: {"choices": ["sgd", "adam"]}, RATE: {"range": [0.001, 0.1], "log": True}}


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    return searches.repository(tmp_path, monkeypatch)


def load(commit: str, space: Space | None = None, name: str = "head", **others: Any) -> History:
    return History(name, space or made(PARAMETERS, **others), commit, TREE)


def finish(history: History, trial: Trial, value: float) -> Trial:
    """End a trial as the coordinator does: first the experiment, then the text."""
    name = trials.name(history.name, trial.number)
    added = experiment(name, trial.values, value)
    done = replace(
        trial,
        state="finished",
        value=value,
        low=value - 0.1,
        high=value + 0.1,
        curve=[0.1, 0.2],
        experiment=added,
    )
    history.write(done)
    return done


def test_a_new_search_has_no_trials(commit: str) -> None:
    history = load(commit)
    assert (len(history), list(history), history.best, history.tested) == (0, [], None, [])
    assert [*refs.read("head")] == ["origin"]


def test_a_search_goes_on_with_its_trials(commit: str) -> None:
    history = load(commit)
    states = []
    for number in range(1, 5):
        trial = history.begin()
        assert trial
        assert (trial.number, trial.state) == (number, "running")
        if number == 1:
            states.append(finish(history, trial, 0.5))
        elif number == 4:
            states.append(trial)
        else:
            ended = replace(trial, curve=[0.3, 0.2, 0.1]).pruned(2)
            states.append(ended if number == 2 else trial.failed("no memory\nnone"))
            history.write(states[-1])
    again = load(commit)
    assert list(again) == list(history) == states
    assert again.running == [states[3]]
    assert again.best == states[0]


def test_a_finished_trial_is_known_by_its_experiment(commit: str) -> None:
    history = load(commit)
    trial = history.begin()
    assert trial
    done = finish(history, trial, 0.5)
    history.write(trial)  # a kill left the text from before
    assert list(load(commit)) == [done]
    for name in refs.read("head"):
        refs.remove("head", name)
    assert list(load(commit)) == [done]  # lost texts


def test_a_trial_whose_experiment_was_removed_runs_again(commit: str) -> None:
    history = load(commit)
    first, second = history.begin(), history.begin()
    assert first
    assert second
    finish(history, first, 0.5)
    kept = finish(history, second, 0.4)
    searches.remove("head-0001")
    again = load(commit)
    assert [trial.values for trial in again.running] == [first.values]
    assert again.best == kept


def test_a_changed_experiment_counts_and_not_the_text(commit: str) -> None:
    history = load(commit)
    trial = history.begin()
    assert trial
    finish(history, trial, 0.5)
    changed = experiment("head-0001", trial.values, 0.7)
    [found] = load(commit)
    assert (found.value, found.low, found.high) == (0.7, pytest.approx(0.6), pytest.approx(0.8))
    assert found.experiment == changed


@pytest.mark.parametrize(
    ("others", "match"),
    [
        ({"seed": 1}, r"found another \(seed\); choose another --name"),
        ({"sampler": "random", "pruner": "median"}, r"found another \(pruner, sampler\)"),
        ({"space": made({RATE: {"range": [0.001, 0.1]}})}, r"found another \(parameters\)"),
    ],
)
def test_another_space_is_refused(commit: str, others: dict[str, Any], match: str) -> None:
    load(commit)
    with pytest.raises(SeedlingsError, match=match):
        load(commit, **others)
    assert len(load(commit, name="other", **others)) == 0


def test_another_commit_is_refused(commit: str) -> None:
    load(commit)
    git.run("commit", "--quiet", "--allow-empty", "--message", "More")
    head = git.run("rev-parse", "HEAD")
    match = f"the commit {commit[:7]}, from which the search head started, found {head[:7]}; check"
    with pytest.raises(SeedlingsError, match=match):
        load(head)


@pytest.mark.parametrize(
    ("values", "on", "match"),
    [
        ({RATE: 0.01, "seed": 7}, "validation", "head-0003 is not of this search, as its seed dif"),
        ({RATE: 0.01}, "test", r"as its evaluate\.split differs"),
        ({RATE: 0.5}, "validation", rf"as its {RATE} differs"),
        ({OPTIMIZER: "adamw"}, "validation", rf"as its {OPTIMIZER} differs"),
    ],
)
def test_the_experiment_of_something_else_is_refused(
    commit: str, values: dict[str, Any], on: str, match: str
) -> None:
    experiment("head-0003", values, 0.5, on=on)
    with pytest.raises(SeedlingsError, match=match):
        load(commit)
    assert refs.read("head") == {}


def test_experiments_with_other_names_are_not_trials(commit: str) -> None:
    for name in ("head-start", "head-best", "head-2-0001", "ahead-0001", "head-7"):
        experiment(name, {"seed": 7}, 0.5)
    assert len(load(commit)) == 0


@pytest.mark.parametrize("name", ["", ".", "..", "../head", "a/b", "a b", "-a", "a.lock", "ä"])
def test_a_name_that_git_or_the_disk_refuses_is_refused(commit: str, name: str) -> None:
    with pytest.raises(SeedlingsError, match="expected a --name of letters, digits, - and _"):
        load(commit, name=name)


def test_the_trials_that_were_tested_are_noted_once(commit: str) -> None:
    history = load(commit)
    for number in (3, 1, 3):
        history.mark_tested(Trial(number, {}))
    assert history.tested == load(commit).tested == [3, 1]
