"""What a search found: the table, the sentences and the commands."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from searches import HEAD, OPTIMIZER, RATE, TREE, failed, invented, made, pruned

from seedlings.config import params
from seedlings.errors import SeedlingsError
from seedlings.search import evaluations, results
from seedlings.search.evaluations import Evaluation, Score
from seedlings.search.results import Gain, Result
from seedlings.search.trials import Trial
from seedlings.tracking import git
from seedlings.tracking.git import Experiment

RATES = {RATE: {"range": [0.001, 0.1]}}
MAE = {"objective": "validation/mae", "direction": "minimize"}


def evaluation(name: str, right: int, **changes: Any) -> Evaluation:
    """The evaluation of a model that is right about the first `right` of 40 images."""
    scores = (np.arange(40) < right).astype(float)
    table = pd.DataFrame({"label": "a", "score": scores}, index=[f"{n}.png" for n in range(40)])
    table["finetuned"] = np.where(table["score"] > 0, "a", "b")
    value = right / 40
    metrics = {"finetuned/accuracy": value, "finetuned/log_loss": 1 - value}
    metrics |= {"finetuned/accuracy_low": value - 0.1, "finetuned/accuracy_high": value + 0.1}
    known = params.flatten(TREE) | {"evaluate.split": "validation"} | changes
    return Evaluation(name, name, known, metrics, table)


def trial(number: int, value: float, **others: Any) -> Trial:
    return Trial(
        number, {RATE: number / 100}, "finished", value, value - 0.1, value + 0.1, **others
    )


TRIALS = [trial(1, 0.6), trial(2, 0.8), pruned(trial(3, 0.5), 2), failed(Trial(4, {}), "full disk")]


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make these evaluations the only ones in the repository."""

    def store(*found: Evaluation) -> None:
        known = {one.name: one for one in found}
        monkeypatch.setattr(
            evaluations, "read", lambda names, _: {n: known[n] for n in names if n in known}
        )
        monkeypatch.setattr(evaluations, "groups", lambda start: np.arange(len(start.predictions)))

    return store


def test_the_result_of_a_search_with_a_real_gain(stored: Callable[..., None]) -> None:
    stored(
        evaluation("head-start", 20),
        evaluation("head-0001", 24),
        evaluation("head-0002", 32),
        evaluation("head-best", 30, **{"evaluate.split": "test", RATE: 0.02}),
    )
    found = results.read("head", made(RATES), TRIALS)
    assert found.best == TRIALS[1]
    assert found.start == Score(0.5, 0.4, 0.6)
    assert found.test == Score(0.75, 0.65, 0.85)
    assert found.gain is not None
    assert found.gain.by == pytest.approx(12 / 40)
    assert found.gain.p_value == pytest.approx(2 * 1 / 2**12, abs=0.001)  # 12 images, 2 of 4 trials
    gain = replace(found.gain, p_value=0.0004)
    assert [*results.lines(replace(found, gain=gain))] == [
        "The best 2 of 2 finished trials, by accuracy on validation images:",
        "",
        "trial       accuracy                   learning_rate",
        "head-0002   0.8000 (0.7000 to 0.9000)  0.02",
        "head-0001   0.6000 (0.5000 to 0.7000)  0.01",
        "head-start  0.5000 (0.4000 to 0.6000)  0.003",
        "",
        "2 of 4 trials finished, 1 pruned, 1 failed.",
        "head-0002 is better than the start beyond chance: +30.0 points of accuracy, p = 0.0004, "
        "corrected for 4 trials.",
        "Test score of head-0002, computed once, for it alone: accuracy 0.7500 (0.6500 to 0.8500).",
        "",
        "restore the trial:                   dvc exp apply head-0002",
        "the same, evaluated on test images:  dvc exp apply head-best",
    ]


def test_images_of_a_group_have_one_sign(
    stored: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(evaluation("head-start", 20), evaluation("head-0002", 32))
    monkeypatch.setattr(evaluations, "groups", lambda start: np.arange(40) // 4)
    found = results.read("head", made(RATES), TRIALS[1:2])
    assert found.gain is not None
    assert found.gain.by == pytest.approx(12 / 40)
    assert found.gain.p_value == pytest.approx(1 / 2**3, abs=0.015)  # 12 images in three groups


def test_a_result_within_chance_and_without_a_test_score(stored: Callable[..., None]) -> None:
    stored(evaluation("head-start", 20), evaluation("head-0002", 21))
    found = results.read("head", made(RATES), TRIALS)
    assert found.gain is not None
    assert (found.test, found.gain.p_value) == (None, 1.0)  # 1/2 for one image, 1 of 4 trials
    text = "\n".join(results.lines(found))
    assert (
        "head-0002 is not better than the start beyond chance: +2.5 points of accuracy, p = 1, "
        "corrected for the choice of the best of 4 trials; a larger validation split would show "
        "smaller gains." in text
    )
    assert "Test score" not in text
    assert text.endswith("dvc exp apply head-0002")


@pytest.mark.parametrize("changes", [{"evaluate.split": "validation", RATE: 0.02}, {RATE: 0.01}])
def test_the_test_score_of_other_parameters_is_not_shown(
    changes: dict[str, Any], stored: Callable[..., None]
) -> None:
    stored(
        evaluation("head-start", 20),
        evaluation("head-0002", 21),
        evaluation("head-best", 30, **{"evaluate.split": "test"} | changes),
    )
    assert results.read("head", made(RATES), TRIALS).test is None


def test_reports_that_are_absent_or_of_other_images_are_an_error(
    stored: Callable[..., None],
) -> None:
    stored(evaluation("head-start", 20), evaluation("head-0001", 20))
    with pytest.raises(SeedlingsError, match="expected the reports of head-0002"):
        results.read("head", made(RATES), TRIALS)
    stored(evaluation("head-0002", 20))
    with pytest.raises(SeedlingsError, match="expected the reports of head-start"):
        results.read("head", made(RATES), TRIALS)
    other = evaluation("head-0002", 20)
    stored(evaluation("head-start", 20), replace(other, predictions=other.predictions.iloc[1:]))
    with pytest.raises(SeedlingsError, match="found others in head-0002 than in head-start"):
        results.read("head", made(RATES), TRIALS)


def test_experiments_are_found_by_their_commits(stored: Callable[..., None]) -> None:
    stored(evaluation("head-start", 20), evaluation("a1b2c3", 32))
    found = results.read("head", made(RATES), [trial(2, 0.8, experiment="a1b2c3")])
    assert found.gain is not None
    assert found.gain.by == pytest.approx(0.3)
    assert next(results.lines(found)).startswith("The only finished trial, by accuracy")


def test_the_best_of_names_that_others_have_too_is_restored_by_its_commit(
    stored: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(evaluation("head-start", 20), evaluation("head-0002", 32))
    known = [
        Experiment("head-0002", "b1", "c1", is_unique=False),
        Experiment("head-0002", "b2", "c2", is_unique=False),
        Experiment("head-start", "b2", "c3", is_unique=True),
    ]
    monkeypatch.setattr(git, "experiments", lambda: known)
    found = results.read("head", made(RATES), TRIALS, baseline="b2")
    assert results.commands(found) == {"restore the trial": "dvc exp apply c2"}


def test_a_search_without_a_finished_trial(stored: Callable[..., None]) -> None:
    stored(evaluation("head-start", 20))
    found = results.read("head", made(RATES), [*TRIALS[2:], Trial(5, {})])
    assert (found.best, found.gain, found.best_name) == (None, None, "")
    assert [*results.lines(found)][-2:] == [
        "0 of 3 trials finished, 1 pruned, 1 failed, 1 running.",
        "No trial has finished, so there is nothing to compare with the start.",
    ]


def test_a_lower_loss_is_better_and_the_test_names_its_metric(stored: Callable[..., None]) -> None:
    stored(evaluation("head-start", 20), evaluation("head-0001", 24), evaluation("head-0002", 32))
    loss = made(RATES, objective="validation/log_loss", direction="minimize")
    found = results.read("head", loss, TRIALS)
    assert (found.best, found.start) == (TRIALS[0], Score(0.5))
    text = "\n".join(results.lines(found))
    assert "head-start  0.5000 (no interval)" in text
    assert "+10.0 points of accuracy" in text
    assert (
        "The test compares the accuracy on single images, which is not the objective (log loss)."
        in text
    )


@pytest.mark.parametrize(
    ("gain", "text"),
    [
        (Gain("mae", 0.12345, False, 0.0312), "better .*: MAE lower by 0.1235, p = 0.031, corr"),
        (Gain("mae", -0.5, False, 0.9), "not better .*: MAE higher by 0.5, p = 0.9, corrected"),
    ],
)
def test_an_error_is_lower_or_higher(gain: Gain, text: str) -> None:
    numbers = made(RATES).model_copy(update=MAE)
    found = Result("head", numbers, TRIALS[:1], Score(2.5), {RATE: 0.01}, gain)
    [verdict] = results.sentences(found)
    assert re.search(text, verdict)


def test_further_looks_at_the_test_images_are_told() -> None:
    gain = Gain("accuracy", 0.1, True, 0.01)
    values = {RATE: 0.01}
    found = Result("head", made(RATES), TRIALS, Score(0.5), values, gain, Score(0.8), looked=3)
    assert results.sentences(found)[-1] == (
        "Test images have been used for 3 best trials of this search so far: do not choose between "
        "them by their test scores."
    )


def test_the_table_has_ten_trials_and_the_active_parameters() -> None:
    wide = made(HEAD)
    start = wide.active(params.flatten(TREE))
    assert "finetune.optimizer.weight_decay" not in start
    found = Result("head", wide, invented(wide, 25), Score(0.8), start)
    rows = results.table(found, found.ranking[:10])
    assert rows[0] == [
        *("trial", "accuracy", "optimizer.name", "learning_rate", "weight_decay", "l2"),
        *("dense", "dropout", "label_smoothing", "batch_size"),
    ]
    assert {(row[2] == "adamw", row[4] == "-") for row in rows[1:]} == {
        (True, False),
        (False, True),
    }
    assert rows[-1][:2] == ["head-start", "0.8000 (no interval)"]
    assert rows[-1][2] == TREE["finetune"]["optimizer"]["name"] == start[OPTIMIZER]
    text = [*results.lines(found)]
    assert text[0] == "The best 10 of 20 finished trials, by accuracy on validation images:"
    assert len([line for line in text if line.startswith("head-0")]) == 10
