import numpy as np
import pandas as pd
import pytest

from seedlings.errors import SeedlingsError
from seedlings.tasks import TASKS


def series(*labels: str) -> pd.Series:
    return pd.Series(labels, dtype=str)


def test_classes_are_numbered_in_their_sorted_order() -> None:
    task, labels = TASKS["multiclass"], series("b", "a", "b")
    assert task.outputs(labels) == ["a", "b"]
    assert task.targets(labels).tolist() == [1, 0, 1]
    assert task.units(labels) == 2
    assert task.strata(labels).tolist() == ["b", "a", "b"]


def test_two_classes_take_one_unit_and_three_are_an_error() -> None:
    task = TASKS["binary"]
    assert task.units(series("b", "a")) == 1
    assert task.targets(series("b", "a")).tolist() == [1, 0]
    with pytest.raises(SeedlingsError, match=r"expected two classes, found 3 \(a, b, c\)"):
        task.units(series("a", "b", "c"))


def test_tags_have_a_column_each_and_the_rarest_is_the_stratum() -> None:
    task, labels = TASKS["multilabel"], series("sea clear", "clear", "clear land", "clear")
    assert task.outputs(labels) == ["clear", "land", "sea"]
    assert task.targets(labels).tolist() == [[1, 0, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert task.strata(labels).tolist() == ["sea", "clear", "land", "clear"]


def test_numbers_are_one_column_and_their_strata_are_ranges() -> None:
    task = TASKS["regression"]
    labels = series(*map(str, range(100)))
    assert task.targets(labels).tolist()[3] == [3.0]
    strata, counts = np.unique(task.strata(labels), return_counts=True)
    assert strata[0] == "0: 0 to 9"
    assert counts.tolist() == [10] * 10
    tied = task.strata(series(*["0.0"] * 90, *map(str, range(1, 11))))
    assert len(set(tied[:90])) == 1


@pytest.mark.parametrize(
    ("task", "label", "problem"),
    [
        ("multiclass", "a", None),
        ("multiclass", " ", "has no label"),
        ("regression", "-1.5e-3", None),
        ("regression", "left", "expected a number, found 'left'"),
        ("regression", "nan", "expected a number, found 'nan'"),
    ],
)
def test_a_label_that_does_not_fit_is_told(task: str, label: str, problem: str | None) -> None:
    assert TASKS[task].problem(label) == problem


def test_every_task_has_directions_to_speak_for() -> None:
    assert TASKS["multiclass"].directions(["a", "b"]) == [("a", 0, 1.0), ("b", 1, 1.0)]
    assert TASKS["binary"].directions(["a", "b"]) == [("a", 0, -1.0), ("b", 0, 1.0)]
    assert TASKS["multilabel"].directions(["land", "sea"]) == [("land", 0, 1.0), ("sea", 1, 1.0)]
    assert [way for _, _, way in TASKS["regression"].directions(["value"])] == [1.0, -1.0]


def test_a_single_sigmoid_is_the_probability_of_the_second_class() -> None:
    assert TASKS["binary"].columns(np.array([[0.25], [1.0]])).tolist() == [[0.75, 0.25], [0, 1]]
    given = np.array([[0.25], [1.0]])
    for name in ("multiclass", "multilabel", "regression"):
        assert TASKS[name].columns(given) is given
