"""How trials and their parameters are named."""

from typing import Any

import pytest
from searches import RATE, made, running, trial

from seedlings.search import trials


def test_a_label_is_short_and_belongs_to_one_parameter() -> None:
    keys = ["finetune.optimizer.name", "finetune.head.dropout", "a.rate", "b.rate", "epochs"]
    labels = ["optimizer.name", "dropout", "a.rate", "b.rate", "epochs"]
    assert trials.labels(keys) == dict(zip(keys, labels, strict=True))
    assert trials.labels(["name", "x.name"]) == {"name": "name", "x.name": "x.name"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00123456, "0.001235"), (16, "16"), ("adam", "adam"), ([64], "[64]"), (None, "null")],
)
def test_values_are_readable(value: Any, text: str) -> None:
    assert trials.shown(value) == text


def test_the_best_is_first_and_of_equal_ones_the_earlier() -> None:
    space = made({RATE: {"range": [0.001, 0.1]}})
    found = [trial(space, n, {}, value) for n, value in ((1, 0.5), (2, 0.9), (3, 0.9))]
    found.append(running(space, 4, {}))
    best = trials.best_first(found, maximize=True)
    assert [trials.name("head", t.number) for t in best] == ["head-0002", "head-0003", "head-0001"]
    assert [t.number for t in trials.best_first(found, maximize=False)] == [0, 1, 2]


def test_the_name_of_an_experiment_has_the_number_of_its_trial() -> None:
    assert trials.number_in("head", trials.name("head", 6)) == 6
    assert trials.number_in("head", "head-start") is None
