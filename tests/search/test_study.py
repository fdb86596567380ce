"""The study of a search: suggestions, pruning, and what is known after a kill."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import searches
from optuna.trial import FrozenTrial, TrialState
from searches import OPTIMIZER, RATE, TREE, experiment, made

from seedlings.errors import SeedlingsError
from seedlings.search import trials
from seedlings.search.space import Space
from seedlings.search.study import Study, stored
from seedlings.search.trials import Params
from seedlings.tracking import git

TWO = {OPTIMIZER: {"choices": ["sgd", "adam"]}, RATE: {"range": [0.001, 0.1], "log": True}}
MOMENTUM = "finetune.optimizer.momentum"
FIVE = {
    **TWO,
    MOMENTUM: {"range": [0.0, 0.9], "when": {OPTIMIZER: "sgd"}},
    "finetune.head.dense": {"choices": [[], [32]]},
    "finetune.epochs": {"range": [1, 30]},
}
DATABASE = Path(".dvc/tmp/searches/head.db")


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    return searches.repository(tmp_path, monkeypatch)


@pytest.fixture
def load(commit: str) -> Callable[..., Study]:
    """Open the study as a new process does."""
    return lambda space=None, name="head", **others: Study(
        name, space or made(TWO, **others), git.run("rev-parse", "HEAD"), TREE
    )


def begun(found: Study) -> FrozenTrial:
    trial = found.begin()
    assert trial
    return trial


def finish(
    found: Study, trial: FrozenTrial, value: float, curve: Sequence[float] = (0.1, 0.2)
) -> FrozenTrial:
    """End a trial as the coordinator does: first the experiment, then the study."""
    name = trials.name(found.name, trial.number)
    added = experiment(name, found.space.values(trial.params), value, curve=curve)
    return ended(found, found.report(trial, curve), value, added)


def metrics(value: float) -> dict[str, float]:
    name = "finetuned/accuracy"
    return {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}


def ended(found: Study, trial: FrozenTrial, value: float, experiment: str = "") -> FrozenTrial:
    return found.finish(trial, metrics(value), experiment)


def known(found: Study) -> list[tuple[Any, ...]]:
    """What a study has of its trials, but for their times."""
    return [
        (t.number, t.state, t.params, t.value, t.intermediate_values, t.user_attrs)
        for t in found.trials
    ]


# Suggestions


def searched(space: Space, count: int, memory: Callable[[Space], Study]) -> list[FrozenTrial]:
    """Trials whose value is best at a learning rate of 0.003; every third one fails."""
    found = memory(space)
    for number in range(1, count + 1):
        trial = begun(found)
        if number % 3 == 0:
            found.fail(trial, "no memory")
        else:
            ended(found, trial, -abs(trial.params[RATE] - 0.003))
    return found.trials


@pytest.fixture
def memory(commit: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Space], Study]:
    """A study that is quick, as it is not on the disk."""
    monkeypatch.setattr(Study, "_write", lambda self: None)
    monkeypatch.setattr(Study, "_open", lambda self: self._study)
    return lambda space: Study("head", space, commit, TREE)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_suggestion_depends_on_the_space_the_trials_and_its_number(
    sampler: str, memory: Callable[[Space], Study]
) -> None:
    space = made(FIVE, sampler=sampler)
    first = [trial.params for trial in searched(space, 15, memory)]
    assert first == [trial.params for trial in searched(space, 15, memory)]
    assert len({str(params) for params in first}) == 15
    other = searched(made(FIVE, sampler=sampler, seed=1), 1, memory)
    assert other[0].params != first[0]


def test_a_suggestion_has_the_active_parameters_with_their_types(
    memory: Callable[[Space], Study],
) -> None:
    for trial in searched(made(FIVE), 15, memory):
        values = trial.params
        assert (MOMENTUM in values) == (values[OPTIMIZER] == "sgd")
        assert values["finetune.head.dense"] in ("[]", "[32]")
        assert isinstance(values["finetune.epochs"], int)
        assert float(f"{values[RATE]:.6g}") == values[RATE]
        assert [*values] == [key for key in FIVE if key in values]


def test_trials_at_work_and_failed_ones_count_as_tried(memory: Callable[[Space], Study]) -> None:
    found = memory(made({OPTIMIZER: {"choices": ["sgd", "adam", "adamw"]}}))
    found.fail(begun(found), "no memory")
    begun(found)
    begun(found)
    assert {trial.params[OPTIMIZER] for trial in found.trials} == {"sgd", "adam", "adamw"}
    assert found.begin() is None


def test_a_grid_visits_each_setting_once(memory: Callable[[Space], Study]) -> None:
    parameters = {
        OPTIMIZER: {"choices": ["sgd", "adam"]},
        MOMENTUM: {"range": [0.0, 0.9], "step": 0.45, "when": {OPTIMIZER: "sgd"}},
        "finetune.epochs": {"range": [10, 20], "step": 5},
    }
    found = memory(made(parameters, sampler="grid"))
    while found.begin():
        pass
    values: list[Params] = [trial.params for trial in found.trials]
    assert sorted(
        (v[OPTIMIZER], v.get(MOMENTUM), v["finetune.epochs"])
        for v in values
        if v[OPTIMIZER] == "sgd"
    ) == [("sgd", m, e) for m in (0.0, 0.45, 0.9) for e in (10, 15, 20)]
    assert [v for v in values if v[OPTIMIZER] == "adam"] == [
        {OPTIMIZER: "adam", "finetune.epochs": epochs} for epochs in (10, 15, 20)
    ]


def rates(found: Study, count: int) -> np.ndarray:
    """The learning rates of some trials, of which 0.01 is the best."""
    for _ in range(count):
        trial = begun(found)
        ended(found, trial, -abs(math.log10(trial.params[RATE] / 0.01)))
    return np.array([trial.params[RATE] for trial in found.trials])


def test_tpe_concentrates_near_the_best_and_random_search_does_not(
    memory: Callable[[Space], Study],
) -> None:
    for seed in (1, 2, 3):
        tpe, random = (
            np.abs(
                np.log10(rates(memory(made({RATE: TWO[RATE]}, sampler=name, seed=seed)), 40)) + 2
            )
            for name in ("tpe", "random")
        )
        # Uniform over two decades, the mean distance to the point in the middle is about 1 / 2.
        assert random[20:].mean() == pytest.approx(0.5, abs=0.2)
        assert tpe[20:].mean() < 0.65 * random[20:].mean()
        assert tpe.min() < 0.05


def test_random_values_are_spread_over_the_whole_range(memory: Callable[[Space], Study]) -> None:
    found = memory(made({RATE: {"range": [1e-4, 1e-1], "log": True}}, sampler="random"))
    counts, _ = np.histogram(np.log10(rates(found, 150)), bins=[-4, -3, -2, -1])
    assert counts.sum() == 150
    assert counts.min() > 32  # of 50 expected, three standard deviations


# Pruning


def run(found: Study, curve: Sequence[float]) -> int | None:
    """Train a trial as a search does; the number of epochs after which it is pruned, or None."""
    trial = begun(found)
    for epoch in range(1, len(curve) + 1):
        trial = found.report(trial, curve[:epoch])
        if trial.state.is_finished():
            assert trial.state == TrialState.PRUNED
            assert [*trial.intermediate_values.values()] == [*curve[:epoch]]
            return epoch
    ended(found, trial, curve[-1])
    return None


def test_the_median_pruner_stops_a_trial_below_the_median(memory: Callable[[Space], Study]) -> None:
    found = memory(made(TWO, pruner="median"))
    for number in (1, 2, 3, 4):
        assert run(found, [0.1 * number] * 6) is None
    assert run(found, [0.0] * 6) is None  # the first five are complete
    assert run(found, [0.1] * 6) == 3  # below 0.2, the median; it begins with the third epoch
    assert run(found, [0.1, 0.1, 0.25, 0.25, 0.25, 0.25]) is None


def test_no_pruner_stops_nothing(memory: Callable[[Space], Study]) -> None:
    found = memory(made(TWO))
    for _ in range(9):
        assert run(found, [0.9] * 6) is None
    assert run(found, [0.0] * 6) is None


def test_successive_halving_stops_a_trial_that_is_not_among_the_best_quarter_at_a_rung(
    memory: Callable[[Space], Study],
) -> None:
    found = memory(made(TWO, pruner="successive_halving"))
    assert run(found, [0.5] * 16) is None  # there is nothing to compare it with
    # The rungs are after 1, 4 and 16 epochs. Each curve but one is the best so far at the first.
    assert run(found, [0.60, 0.6, 0.6, 0.6, *[0.6] * 12]) is None
    assert run(found, [0.59, 0.9, 0.9, 0.9, *[0.9] * 12]) == 1  # later epochs are not seen
    assert run(found, [0.61, 0.6, 0.6, 0.7, *[0.7] * 12]) is None
    assert run(found, [0.62, 0.9, 0.9, 0.65, *[0.9] * 12]) == 4
    assert run(found, [0.63, 0.6, 0.6, 0.8, *[0.6] * 12]) == 16
    assert run(found, [0.64, 0.1, 0.1, 0.8, *[0.9] * 12]) is None  # nothing between rungs


def test_hyperband_has_brackets_that_stop_after_other_epochs(
    memory: Callable[[Space], Study],
) -> None:
    parameters = {RATE: TWO[RATE], "finetune.epochs": {"choices": [3, 9]}}
    found = memory(made(parameters, pruner="hyperband", sampler="random"))
    stops = [run(found, [0.9 - number / 100] * 9) for number in range(30)]
    # With at most 9 epochs, the brackets begin to compare after 1, 3 and 9 epochs.
    assert {*stops} == {None, 1, 3, 9}


# After a kill


def test_a_new_search_has_no_trials(load: Callable[..., Study]) -> None:
    found = load()
    assert (found.trials, found.best, found.tested) == ([], None, [])


def test_a_search_goes_on_with_its_trials(load: Callable[..., Study]) -> None:
    found = load(pruner="successive_halving")
    first = finish(found, begun(found), 0.5, [0.6, 0.7])
    pruned = found.report(begun(found), [0.3, 0.2])
    failed = found.fail(begun(found), "no memory\nnone")
    last = begun(found)
    states = [trial.state for trial in (first, pruned, failed, last)]
    assert [state.name for state in states] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert (pruned.intermediate_values, failed.user_attrs) == (
        {1: 0.3},
        {"reason": "no memory\nnone"},
    )
    again = load(pruner="successive_halving")
    assert known(again) == known(found)
    assert [trial.number for trial in again.running] == [3]
    assert again.best
    assert (again.best.number, again.best.value) == (0, 0.5)


def test_a_trial_that_runs_again_reports_all_its_epochs_again(load: Callable[..., Study]) -> None:
    space = made(TWO, pruner="successive_halving")
    found = load(space)
    finish(found, begun(found), 0.5, [0.6, 0.7])
    trial = begun(found)
    assert found.report(trial, [0.7]).intermediate_values == {1: 0.7}  # its first rung is kept
    found = load(space)
    [again] = found.running
    assert (again.params, again.intermediate_values) == (trial.params, {})
    assert found.report(again, [0.3]).state == TrialState.PRUNED


def test_a_trial_whose_experiment_exists_is_finished(load: Callable[..., Study]) -> None:
    found = load()
    trial = begun(found)
    added = experiment("head-0001", trial.params, 0.5)  # the kill came before the study knew it
    [done] = load().trials
    assert (done.params, done.value) == (trial.params, 0.5)
    assert done.user_attrs == {"metrics": metrics(0.5), "experiment": added}
    assert done.intermediate_values == {1: 0.1, 2: 0.2}


@pytest.mark.parametrize("pruner", ["none", "hyperband"])
def test_a_lost_database_is_filled_from_the_experiments(
    load: Callable[..., Study], pruner: str
) -> None:
    space = made(TWO, pruner=pruner, seed=3)
    found = load(space)
    for number in range(1, 13):
        trial = begun(found)
        if number in (4, 7):
            found.fail(trial, "no memory")
        else:
            value = -abs(trial.params[RATE] - 0.003)
            finish(found, trial, value, [number / 100, number / 50])
    before = known(found)
    next_one = begun(found).params
    DATABASE.unlink()
    found = load(space)
    assert [trial.number + 1 for trial in found.running] == [4, 7]
    for trial in found.running:
        found.fail(trial, "no memory")
    assert known(found) == before
    assert begun(found).params == next_one


def test_a_trial_whose_experiment_was_removed_runs_again(load: Callable[..., Study]) -> None:
    found = load()
    first, second = begun(found), begun(found)
    finish(found, first, 0.5)
    kept = finish(found, second, 0.4)
    found.mark_tested(first)
    searches.remove("head-0001")
    again = load()
    assert [trial.params for trial in again.running] == [first.params]
    assert again.best
    assert (again.best.params, again.tested) == (kept.params, [0])


def test_a_changed_experiment_counts_and_not_the_database(load: Callable[..., Study]) -> None:
    found = load()
    trial = begun(found)
    finish(found, trial, 0.5)
    changed = experiment("head-0001", trial.params, 0.7)
    [again] = load().trials
    assert again.value == 0.7
    assert again.user_attrs == {"metrics": metrics(0.7), "experiment": changed}


@pytest.mark.parametrize(
    ("others", "match"),
    [
        ({"seed": 1}, r"found another \(seed\); choose another --name"),
        ({"sampler": "random", "pruner": "median"}, r"found another \(sampler, pruner\)"),
        ({"space": made({RATE: {"range": [0.001, 0.1]}})}, r"found another \(parameters\)"),
    ],
)
def test_another_space_is_refused(
    load: Callable[..., Study], others: dict[str, Any], match: str
) -> None:
    load()
    with pytest.raises(SeedlingsError, match=match):
        load(**others)
    assert load(name="other", **others).trials == []


def test_another_commit_is_refused(commit: str, load: Callable[..., Study]) -> None:
    load()
    git.run("commit", "--quiet", "--allow-empty", "--message", "More")
    head = git.run("rev-parse", "HEAD")
    match = f"the commit {commit[:7]}, from which the search head started, found {head[:7]}; check"
    with pytest.raises(SeedlingsError, match=match):
        load()


def test_a_database_that_cannot_be_read_is_named(load: Callable[..., Study]) -> None:
    load()
    DATABASE.write_bytes(b"damaged" * 1000)
    match = f"in {DATABASE}, found .*file is not a database"
    with pytest.raises(SeedlingsError, match=match), stored("head"):
        load()
    DATABASE.unlink()
    assert load().trials == []


@pytest.mark.parametrize(
    ("values", "on", "match"),
    [
        ({RATE: 0.01, "seed": 7}, "validation", "head-0003 is not of this search, as its seed dif"),
        ({RATE: 0.01}, "test", r"as its evaluate\.split differs"),
        (
            {RATE: 0.5},
            "validation",
            rf"as its parameters .* The value 0\.5 of parameter '{RATE}'",
        ),
        (
            {OPTIMIZER: "adamw"},
            "validation",
            rf"as its parameters .*'{OPTIMIZER}': 'adamw'.* 'adamw' not in",
        ),
    ],
)
def test_the_experiment_of_something_else_is_refused(
    load: Callable[..., Study], values: dict[str, Any], on: str, match: str
) -> None:
    experiment("head-0003", values, 0.5, on=on)
    with pytest.raises(SeedlingsError, match=match):
        load()
    assert not DATABASE.exists()


def test_experiments_with_other_names_are_not_trials(load: Callable[..., Study]) -> None:
    for name in ("head-start", "head-best", "head-2-0001", "ahead-0001", "head-7"):
        experiment(name, {"seed": 7}, 0.5)
    assert load().trials == []


@pytest.mark.parametrize("name", ["", ".", "..", "../head", "a/b", "a b", "-a", "a.lock", "ä"])
def test_a_name_that_git_or_the_disk_refuses_is_refused(
    load: Callable[..., Study], name: str
) -> None:
    with pytest.raises(SeedlingsError, match="expected a --name of letters, digits, - and _"):
        load(name=name)


def test_the_trials_that_were_tested_are_noted_once(load: Callable[..., Study]) -> None:
    found = load()
    first, second = begun(found), begun(found)
    for trial in (second, first, second):
        found.mark_tested(trial)
    assert found.tested == load().tested == [1, 0]
