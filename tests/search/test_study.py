"""Suggestions and pruning, as functions of the trials so far."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from searches import OPTIMIZER, RATE, made

from seedlings.search import study
from seedlings.search.space import Space
from seedlings.search.trials import Trial, identity, parse

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


def test_a_grid_visits_each_setting_once() -> None:
    parameters = {
        OPTIMIZER: {"choices": ["sgd", "adam"]},
        "finetune.optimizer.momentum": {
            "range": [0.0, 0.9],
            "step": 0.45,
            "when": {OPTIMIZER: "sgd"},
        },
        "finetune.epochs": {"range": [10, 20], "step": 5},
    }
    space = made(parameters, sampler="grid")
    trials: list[Trial] = []
    while (values := study.suggest(space, trials, len(trials) + 1)) is not None:
        trials.append(Trial(len(trials) + 1, values))
    momentum = "finetune.optimizer.momentum"
    assert sorted(
        (t.values[OPTIMIZER], t.values.get(momentum), t.values["finetune.epochs"])
        for t in trials
        if t.values[OPTIMIZER] == "sgd"
    ) == [("sgd", m, e) for m in (0.0, 0.45, 0.9) for e in (10, 15, 20)]
    assert [t.values for t in trials if t.values[OPTIMIZER] == "adam"] == [
        {OPTIMIZER: "adam", "finetune.epochs": epochs} for epochs in (10, 15, 20)
    ]


def distances(sampler: str, seed: int) -> list[float]:
    """Distance of each of 40 suggested rates to the best one, 0.003, in powers of ten."""
    space = made({RATE: PARAMETERS[RATE]}, sampler=sampler, seed=seed)
    trials: list[Trial] = []
    for number in range(1, 41):
        values = study.suggest(space, trials, number)
        assert values is not None
        distance = abs(math.log10(values[RATE] / 0.003))
        trials.append(Trial(number, values, "finished", -distance))
    return [-trial.value for trial in trials if trial.value is not None]


def test_tpe_concentrates_near_the_best_and_random_search_does_not() -> None:
    for seed in (1, 2, 3):
        tpe, random = (np.array(distances(sampler, seed)) for sampler in ("tpe", "random"))
        # Uniform over three decades, the mean distance to the point in the middle is about 3 / 4.
        assert random[20:].mean() == pytest.approx(0.75, abs=0.25)
        assert tpe[20:].mean() < 0.65 * random[20:].mean()
        assert tpe.min() < 0.05


def test_random_values_are_spread_over_the_whole_range_and_ignore_the_trials() -> None:
    space = made({RATE: PARAMETERS[RATE]}, sampler="random")
    good = [Trial(n, {RATE: 0.003 + n / 1e6}, "finished", 1.0) for n in range(1, 31)]
    values = [study.suggest(space, good, number) for number in range(31, 331)]
    assert values == [study.suggest(space, [], number) for number in range(31, 331)]
    decades = np.log10([found[RATE] for found in values if found])
    counts, _ = np.histogram(decades, bins=[-4, -3, -2, -1])
    assert counts.sum() == 300
    assert counts.min() > 75  # of 100 expected, three standard deviations


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
        found = study.prune(space, others, trial)
        assert found == (trial if epochs is None else trial.pruned(epochs))
    few, trial = others[:4], Trial(6, {OPTIMIZER: "adam"}, curve=[0.0] * 6)
    assert study.prune(space, few, trial) == trial


def test_no_pruner_stops_nothing() -> None:
    space = made({OPTIMIZER: {"choices": ["sgd", "adam"]}})
    others = [Trial(n, {OPTIMIZER: "sgd"}, "finished", 0.9, curve=[0.9] * 6) for n in range(9)]
    trial = replace(others[0], number=10, state="running", curve=[0.0] * 6)
    assert study.prune(space, others, trial) == trial


def run(space: Space, stored: list[str], curve: list[float]) -> tuple[list[str], Trial]:
    """Train a trial as a search does: all trials are read from their texts after each epoch."""
    text = Trial(len(stored) + 1, {OPTIMIZER: "adam"}).text()
    for epoch in range(1, len(curve) + 1):
        trial = replace(parse(text), curve=curve[:epoch])
        trial = study.prune(space, [*map(parse, stored)], trial)
        text = trial.text()
        if trial.is_over:
            return [*stored, text], trial
    done = replace(trial, state="finished", value=curve[-1])
    return [*stored, done.text()], done


def test_successive_halving_stops_a_trial_that_is_not_among_the_best_quarter_at_a_rung() -> None:
    space = made({OPTIMIZER: {"choices": ["sgd", "adam"]}}, pruner="successive_halving")
    stored, first = run(space, [], [0.5] * 16)
    assert first.state == "finished"  # there is nothing to compare it with
    # The rungs are after 1, 4 and 16 epochs. Each curve is the best so far at the first rung.
    curves: dict[int, tuple[list[float], int | None]] = {
        2: ([0.60, 0.6, 0.6, 0.6, *[0.6] * 12], None),
        3: ([0.59, 0.9, 0.9, 0.9, *[0.9] * 12], 1),  # later epochs are not seen
        4: ([0.61, 0.6, 0.6, 0.7, *[0.7] * 12], None),
        5: ([0.62, 0.9, 0.9, 0.65, *[0.9] * 12], 4),
        6: ([0.63, 0.6, 0.6, 0.8, *[0.6] * 12], 16),
        7: ([0.64, 0.1, 0.1, 0.8, *[0.9] * 12], None),  # between rungs nothing is compared
    }
    for number, (curve, epochs) in curves.items():
        stored, trial = run(space, stored, curve)
        assert trial.number == number
        assert (len(trial.curve) if trial.state == "pruned" else None) == epochs
    assert [parse(text).rungs.get("completed_rung_1") for text in stored] == [
        *(None, 0.6, None, 0.7, 0.65, 0.8, 0.8)
    ]


def test_successive_halving_keeps_a_quarter_of_many_trials() -> None:
    space = made({OPTIMIZER: {"choices": ["sgd", "adam"]}}, pruner="successive_halving")
    rng = np.random.default_rng(4)
    stored, _ = run(space, [], [0.0] * 2)
    seen: list[float] = []
    for quality in rng.uniform(0.1, 1.0, 40):
        stored, trial = run(space, stored, [quality] * 2)
        seen.append(quality)
        best = sorted(seen, reverse=True)[: max(len(seen) // 4, 1)]
        assert trial.state == ("finished" if quality in best else "pruned")
    assert {parse(text).state for text in stored} == {"finished", "pruned"}
