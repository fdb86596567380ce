"""Suggestions and pruning, as functions of the trials so far."""

from dataclasses import replace
from typing import Any

import pytest
from searches import OPTIMIZER, RATE, made

from seedlings.search import study
from seedlings.search.space import Space
from seedlings.search.trials import Trial, Values, identity

PARAMETERS = {
    OPTIMIZER: {"choices": ["sgd", "adam"]},
    RATE: {"range": [1e-4, 1e-1], "log": True},
    "finetune.optimizer.momentum": {"range": [0.0, 0.9], "when": {OPTIMIZER: "sgd"}},
    "finetune.head.dense": {"choices": [[], [32]]},
    "finetune.epochs": {"range": [1, 30]},
}


def searched(space: Space, count: int) -> list[Trial]:
    """Trials whose value is best at a learning rate of 0.003, a third of them pruned."""
    trials: list[Trial] = []
    for number in range(1, count + 1):
        values = study.suggest(space, trials, number)
        assert values is not None
        found = Trial(number, values, "finished", -abs(values[RATE] - 0.003), curve=[0.1, 0.2])
        trials.append(found.pruned(1) if number % 3 == 0 else found)
    return trials


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_suggestion_depends_on_the_space_the_trials_and_its_number(sampler: str) -> None:
    space = made(PARAMETERS, sampler=sampler)
    first, second = searched(space, 15), searched(space, 15)
    assert [t.values for t in first] == [t.values for t in second]
    assert study.suggest(space, first[:12], 13) == first[12].values
    other = searched(made(PARAMETERS, sampler=sampler, seed=1), 3)
    assert other[0].values != first[0].values
    assert len({identity(t.values) for t in first}) == 15


def test_a_suggestion_has_the_active_parameters_with_their_types() -> None:
    for trial in searched(made(PARAMETERS), 15):
        values = trial.values
        assert ("finetune.optimizer.momentum" in values) == (values[OPTIMIZER] == "sgd")
        assert values["finetune.head.dense"] in ([], [32])
        assert isinstance(values["finetune.epochs"], int)
        assert float(f"{values[RATE]:.6g}") == values[RATE]


def test_trials_at_work_and_failed_ones_count_as_tried() -> None:
    space = made({OPTIMIZER: {"choices": ["sgd", "adam", "adamw"]}})
    running = Trial(1, {OPTIMIZER: "sgd"})
    failed = Trial(2, {OPTIMIZER: "adamw"}).failed("no memory")
    assert study.suggest(space, [running, failed], 3) == {OPTIMIZER: "adam"}
    assert study.suggest(space, [running, failed, Trial(3, {OPTIMIZER: "adam"})], 4) is None


def test_a_grid_is_tried_in_order() -> None:
    space = made({OPTIMIZER: {"choices": ["sgd", "adam"]}}, sampler="grid")
    trials: list[Trial] = []
    found: list[Values | None] = []
    for number in (1, 2, 3):
        found.append(study.suggest(space, trials, number))
        trials.append(Trial(number, found[-1] or {}))
    assert found == [{OPTIMIZER: "sgd"}, {OPTIMIZER: "adam"}, None]


def test_the_median_pruner_stops_a_trial_below_the_median() -> None:
    space = made({OPTIMIZER: {"choices": ["sgd", "adam"]}}, pruner="median")
    others = [
        Trial(n, {OPTIMIZER: "sgd"}, "finished", 0.9, curve=[0.1 * n] * 6) for n in range(1, 6)
    ]
    curves: dict[Any, list[float]] = {
        3: [0.2] * 6,  # below 0.3, the median; the pruner begins with the third epoch
        None: [0.2, 0.2, 0.35, 0.35, 0.35, 0.35],
    }
    for epochs, curve in curves.items():
        trial = Trial(6, {OPTIMIZER: "adam"}, curve=curve)
        assert study.pruned_after(space, others, trial) == epochs
    few = others[:4]
    assert study.pruned_after(space, few, Trial(6, {OPTIMIZER: "adam"}, curve=[0.0] * 6)) is None


def test_no_pruner_stops_nothing() -> None:
    space = made({OPTIMIZER: {"choices": ["sgd", "adam"]}})
    others = [Trial(n, {OPTIMIZER: "sgd"}, "finished", 0.9, curve=[0.9] * 6) for n in range(9)]
    trial = replace(others[0], number=10, state="running", curve=[0.0] * 6)
    assert study.pruned_after(space, others, trial) is None
