import re

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
        ("regression", "1e5", None),
        ("regression", "+.5", None),
        ("regression", "0.0", None),
        ("regression", "1e-40", None),
        ("regression", "left", "expected a number such as -1.5 or 2e-3, found 'left'"),
        ("regression", "", "expected a number .*, found ''"),
        ("regression", "nan", "expected a number .*, found 'nan'"),
        ("regression", "inf", "expected a number .*, found 'inf'"),
        ("regression", "1,5", "expected a number .*, found '1,5'"),
        ("regression", "1_000", "expected a number .*, found '1_000'"),
        ("regression", "１", "expected a number .*, found '１'"),
        ("regression", "1e39", "a size between 1e-45 and 1e.18, as .* float32, found '1e39'.*unit"),
        ("regression", "-1e999", "a size between 1e-45 and 1e.18, .*, found '-1e999'"),
        ("regression", "1e-46", "a size between 1e-45 and 1e.18, .*, found '1e-46'"),
    ],
)
def test_a_label_that_does_not_fit_has_a_problem(
    task: str, label: str, problem: str | None
) -> None:
    found = TASKS[task].problem(label)
    assert found == problem or re.search(problem or "^$", found or "")


def test_every_task_has_its_directions() -> None:
    assert TASKS["multiclass"].directions(["a", "b"]) == [("a", 0, 1.0), ("b", 1, 1.0)]
    assert TASKS["binary"].directions(["a", "b"]) == [("a", 0, -1.0), ("b", 0, 1.0)]
    assert TASKS["multilabel"].directions(["land", "sea"]) == [("land", 0, 1.0), ("sea", 1, 1.0)]
    assert [way for _, _, way in TASKS["regression"].directions(["value"])] == [1.0, -1.0]


def test_a_single_sigmoid_is_the_probability_of_the_second_class() -> None:
    assert TASKS["binary"].columns(np.array([[0.25], [0.0]])).tolist() == [[0.75, 0.25], [1, 0]]
    given = np.array([[0.25], [1.0]])
    for name in ("multiclass", "multilabel", "regression"):
        assert TASKS[name].columns(given) is given


def test_a_sigmoid_that_is_rounded_to_one_leaves_what_was_rounded_away() -> None:
    logits = np.array([16.0, 17.0, 18.0, 30.0])
    outputs = (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)[:, None]
    assert outputs[2:].tolist() == [[1.0], [1.0]]
    rest = -np.log(TASKS["binary"].columns(outputs)[:, 0])
    assert rest == pytest.approx([16.0, 17.0, 25 * np.log(2), 25 * np.log(2)], abs=0.4)


@pytest.mark.parametrize("name", TASKS)
def test_answers_have_the_columns_of_the_task(name: str) -> None:
    task = TASKS[name]
    labels = {"multiclass": ("a", "b", "c"), "binary": ("a", "b"), "multilabel": ("a b", "c")}
    names = task.outputs(series(*labels.get(name, ("1.5", "2.5"))))
    outputs = np.array([[0.6, 0.3, 0.9]], np.float32)[:, : {"binary": 1, "regression": 1}.get(name)]
    answers = task.answers(outputs, names, 0.5)
    assert list(answers) == list(task.answer_types)
    expected = {"multiclass": "c", "binary": "b", "multilabel": "a c"}
    [prediction] = answers["prediction"]
    assert prediction == (pytest.approx(0.6) if name == "regression" else expected[name])
    if name == "binary":
        assert answers["probabilities"] == [pytest.approx({"a": 0.4, "b": 0.6})]
        assert answers["probability"] == pytest.approx([0.6])
    elif name != "regression":
        assert answers["probabilities"] == [pytest.approx({"a": 0.6, "b": 0.3, "c": 0.9})]


def test_the_score_of_an_image_is_higher_for_a_better_answer() -> None:
    classes = pd.DataFrame({"label": ["a", "b"], "finetuned": ["a", "a"]})
    tags = pd.DataFrame({"label": ["a", "b"], "finetuned": ["a", "a"], "finetuned_f2": [1.0, 0.3]})
    numbers = pd.DataFrame({"label": ["1.0", "-1.0"], "finetuned": ["1.5", "2.0"]})
    assert TASKS["multiclass"].scores(classes).tolist() == [1.0, 0.0]
    assert TASKS["binary"].scores(classes).tolist() == [1.0, 0.0]
    assert TASKS["multilabel"].scores(tags).tolist() == [1.0, 0.3]
    assert TASKS["regression"].scores(numbers).tolist() == [-0.5, -3.0]
