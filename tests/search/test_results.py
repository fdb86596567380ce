"""What a search found: the table, the sentences and the commands."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from optuna.trial import FrozenTrial
from searches import (
    HEAD,
    OPTIMIZER,
    RATE,
    TREE,
    Known,
    failed,
    invented,
    made,
    pruned,
    running,
    trial,
)

from seedlings.config import params
from seedlings.errors import SeedlingsError
from seedlings.search import results
from seedlings.search.results import Gain, Result
from seedlings.search.study import Study
from seedlings.tasks import TASKS
from seedlings.tracking import comparisons, git, revisions

RATES = {RATE: {"range": [0.001, 0.1]}}
SPACE = made(RATES)
START = {"finetuned/accuracy": 0.5}
TRIALS = [
    trial(SPACE, 1, {RATE: 0.01}, 0.6),
    trial(SPACE, 2, {RATE: 0.02}, 0.8),
    pruned(SPACE, 3, {RATE: 0.03}, [0.1, 0.2]),
    failed(SPACE, 4, {}, "full disk"),
]


@dataclass(frozen=True)
class Evaluated:
    """An experiment, or a commit, of a model that is right about the first of 40 images."""

    name: str
    commit: str
    params: Mapping[str, Any]
    right: int
    images: int = 40

    @property
    def restore(self) -> str:
        return f"dvc exp apply {self.name}"

    @property
    def metrics(self) -> dict[str, float]:
        value = self.right / 40
        ends = {"finetuned/accuracy_low": value - 0.1, "finetuned/accuracy_high": value + 0.1}
        return {"finetuned/accuracy": value, "finetuned/log_loss": 1 - value, **ends}

    @contextmanager
    def files(self, wanted: list[Path]) -> Iterator["Evaluated"]:
        yield self

    def __truediv__(self, path: Path) -> "Evaluated":
        """The record in the folder of its files."""
        return self


def evaluated(name: str, right: int, commit: str = "", **changes: Any) -> Evaluated:
    known = params.flatten(TREE) | {"evaluate.split": "validation"} | changes
    return Evaluated(name, commit or name, known, right)


def predictions(found: Evaluated) -> pd.DataFrame:
    scores = (np.arange(found.images) < found.right).astype(float)
    return pd.DataFrame({"score": scores}, index=[f"{n}.png" for n in range(found.images)])


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Read the result of a search in a repository that has these experiments alone."""

    def read(
        *found: Evaluated, space: Any = SPACE, tried: list[FrozenTrial] = TRIALS, size: int = 1
    ) -> Result:
        known = {one.name: one for one in found} | {one.commit: one for one in found}

        def at(name: str, baseline: str = "") -> Evaluated:
            if name not in known:
                raise SeedlingsError(f"expected a revision or an experiment, found {name!r}")
            return known[name]

        paths = [f"{n}.png" for n in range(40)]
        table = pd.DataFrame({"path": paths, "group": np.arange(40) // size})
        monkeypatch.setattr(revisions, "at", at)
        monkeypatch.setattr(git, "commits_of", lambda _: {one.name: one.commit for one in found})
        monkeypatch.setattr(comparisons, "predictions", predictions)
        monkeypatch.setattr(comparisons, "table", lambda _: table[::-1])
        monkeypatch.setattr(results.records, "read", lambda record: record)
        return results.read(cast(Study, Known(space, tried, tested=[2])))

    return read


START_RUN = evaluated("head-start", 20)


def trials(first: int, second: int) -> list[Evaluated]:
    """The experiments of the two finished trials, by the number of correct images."""
    return [
        evaluated("head-0001", first, "commit1"),
        evaluated("head-0002", second, "commit2"),
    ]


def test_the_result_of_a_search_with_a_real_gain(read: Callable[..., Result]) -> None:
    best = evaluated("head-best", 30, **{"evaluate.split": "test", RATE: 0.02})
    found = read(START_RUN, *trials(24, 32), best)
    assert found.ranking == [TRIALS[1], TRIALS[0]]
    assert found.start == START_RUN.metrics
    assert found.test == best.metrics
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


def test_images_of_a_group_have_one_sign(read: Callable[..., Result]) -> None:
    found = read(START_RUN, *trials(0, 32), tried=TRIALS[1:2], size=4)
    assert found.gain is not None
    assert found.gain.by == pytest.approx(12 / 40)
    assert found.gain.p_value == pytest.approx(1 / 2**3, abs=0.015)  # 12 images in three groups


def test_a_result_within_chance_and_without_a_test_score(read: Callable[..., Result]) -> None:
    found = read(START_RUN, *trials(0, 21))
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
    changes: dict[str, Any], read: Callable[..., Result]
) -> None:
    best = evaluated("head-best", 30, **{"evaluate.split": "test"} | changes)
    found = read(START_RUN, *trials(20, 21), best)
    assert found.test is None
    assert found.commands == {"restore the trial": "dvc exp apply head-0002"}


def test_reports_that_are_absent_or_of_other_images_are_an_error(
    read: Callable[..., Result],
) -> None:
    first, second = trials(20, 20)
    for absent in ([START_RUN, first], [second]):
        with pytest.raises(SeedlingsError, match="expected a revision or an experiment, found '"):
            read(*absent)
    assert read(START_RUN, second).gain is not None  # others may be absent
    with pytest.raises(SeedlingsError, match="found others in trials of head than in head-start"):
        read(START_RUN, first, replace(second, images=39))


def test_a_search_without_a_finished_trial(read: Callable[..., Result]) -> None:
    found = read(START_RUN, tried=[*TRIALS[2:], running(SPACE, 5, {})])
    assert (found.ranking, found.gain, found.commands) == ([], None, {})
    assert [*results.lines(found)][-2:] == [
        "0 of 3 trials finished, 1 pruned, 1 failed, 1 running.",
        "No trial has finished, so there is nothing to compare with the start.",
    ]


def test_a_lower_loss_is_better_and_the_test_names_its_metric(read: Callable[..., Result]) -> None:
    loss = made(RATES, objective="validation/log_loss", direction="minimize")
    tried = [trial(loss, n, {RATE: n / 100}, value) for n, value in ((1, 0.4), (2, 0.5))]
    found = read(START_RUN, *trials(24, 32), space=loss, tried=tried)
    assert found.ranking == tried
    text = "\n".join(results.lines(found))
    assert "head-start  0.5000 (no interval)" in text
    assert "+10.0 points of accuracy" in text
    assert (
        "The test compares the accuracy on single images, which is not the objective (log loss)."
        in text
    )


@pytest.mark.parametrize(
    ("by", "p_value", "text"),
    [
        (0.12345, 0.0312, "better .*: MAE lower by 0.1235, p = 0.031, corr"),
        (-0.5, 0.9, "not better .*: MAE higher by 0.5, p = 0.9, corrected"),
    ],
)
def test_an_error_is_lower_or_higher(by: float, p_value: float, text: str) -> None:
    mae = {"objective": "validation/mae", "direction": "minimize"}
    numbers = SPACE.model_copy(update=mae)
    gain = Gain(TASKS["regression"].main_metric, by, p_value)
    [verdict] = results.sentences(Result("head", numbers, TRIALS[:1], START, {}, gain))
    assert re.search(text, verdict)


def test_further_looks_at_the_test_images_are_told() -> None:
    gain = Gain(TASKS["multiclass"].main_metric, 0.1, 0.01)
    found = Result("head", SPACE, TRIALS, START, {RATE: 0.01}, gain, START, looked=3)
    assert results.sentences(found)[-1] == (
        "Test images have been used for 3 best trials of this search so far: do not choose between "
        "them by their test scores."
    )


def test_the_table_has_ten_trials_and_the_active_parameters() -> None:
    wide = made(HEAD)
    start = wide.active(params.flatten(TREE))
    assert "finetune.optimizer.weight_decay" not in start
    found = Result("head", wide, invented(wide, 25), START, start)
    rows = results.table(found, found.ranking[:10])
    assert rows[0] == [
        *("trial", "accuracy", "optimizer.name", "learning_rate", "weight_decay", "l2"),
        *("dense", "dropout", "label_smoothing", "batch_size"),
    ]
    assert {(row[2] == "adamw", row[4] == "-") for row in rows[1:]} == {
        (True, False),
        (False, True),
    }
    assert rows[-1][:2] == ["head-start", "0.5000 (no interval)"]
    assert rows[-1][2] == TREE["finetune"]["optimizer"]["name"] == start[OPTIMIZER]
    text = [*results.lines(found)]
    assert text[0] == "The best 10 of 20 finished trials, by accuracy on validation images:"
    assert len([line for line in text if line.startswith("head-0")]) == 10
