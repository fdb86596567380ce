"""How trials and their parameters are named."""

from typing import Any

import pytest

from seedlings.search import trials
from seedlings.search.trials import Trial


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
    found = [Trial(n, {}, "finished", v) for n, v in ((1, 0.5), (3, 0.9), (2, 0.9))]
    found.append(Trial(4, {}, value=1.0))
    best = trials.best_first(found, maximize=True)
    assert [t.number for t in best] == [2, 3, 1]
    assert [t.number for t in trials.best_first(found, maximize=False)] == [1, 2, 3]
