from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedlings.data import splits
from seedlings.errors import SeedlingsError
from seedlings.io import split_table
from seedlings.params import check
from seedlings.tasks import TASKS


def assign(
    labels: list[str], groups: list[int] | None = None, validation: int = 3, share: float = 0.2
) -> np.ndarray:
    numbers = np.arange(len(labels)) if groups is None else np.array(groups)
    return splits.assign(
        np.array(labels),
        numbers,
        sizes={"test": share, "validation": validation},
        rng=np.random.default_rng(0),
    )


def count(labels: list[str], split: np.ndarray, label: str, part: str) -> int:
    return int(((np.array(labels) == label) & (split == part)).sum())


def test_each_class_gives_its_number_to_validation_and_its_share_to_the_test() -> None:
    labels = ["a"] * 20 + ["b"] * 50 + ["c"] * 8
    split = assign(labels)
    for label, test, train in (("a", 4, 13), ("b", 10, 37), ("c", 2, 3)):
        assert count(labels, split, label, "validation") == 3
        assert count(labels, split, label, "test") == test
        assert count(labels, split, label, "train") == train


def test_a_group_never_crosses(rng: np.random.Generator) -> None:
    labels = rng.choice(["a", "b"], 200).tolist()
    groups = rng.integers(0, 80, 200)
    split = assign(labels, groups.tolist(), validation=10)
    for group in np.unique(groups):
        assert len(set(split[groups == group])) == 1
    for label in "ab":
        assert count(labels, split, label, "validation") == 10
        assert count(labels, split, label, "test") == round(0.2 * labels.count(label))


def test_the_draw_depends_on_the_generator_alone() -> None:
    labels = ["a"] * 20 + ["b"] * 20
    assert np.array_equal(assign(labels), assign(labels))
    other = splits.assign(
        np.array(labels),
        np.arange(40),
        sizes={"test": 0.2, "validation": 3},
        rng=np.random.default_rng(1),
    )
    assert not np.array_equal(assign(labels), other)


def test_large_groups_leave_a_few_fewer_and_never_more() -> None:
    labels = ["a"] * 30 + ["b"] * 30
    groups = [n // 2 for n in range(60)]
    split = assign(labels, groups, validation=3)
    assert count(labels, split, "a", "validation") == 2


def test_every_class_that_is_too_small_is_listed() -> None:
    labels = ["a"] * 20 + ["b"] * 4 + ["c"] * 2
    with pytest.raises(SeedlingsError, match=r"(?s)b: 4 images, at least 5 needed.*c: 2 images"):
        assign(labels)
    assert count(labels[:20] + ["b"] * 5, assign(labels[:20] + ["b"] * 5), "b", "train") == 1


def test_a_group_that_is_a_whole_class_is_an_error() -> None:
    with pytest.raises(SeedlingsError, match=r"(?s)a: none for.*duplicate_distance"):
        assign(["a"] * 20 + ["b"] * 20, [0] * 20 + list(range(1, 21)))


def given(rows: list[tuple[str, str, int]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["label", "split", "group"])
    return table.assign(path=[f"{n}.png" for n in range(len(table))])


def folders_rule(tree: dict[str, Any]) -> Any:
    tree["split"]["rule"] = "folders"
    return check(tree).split


FULL = [
    (label, part, n)
    for n, (label, part) in enumerate((label, part) for label in "ab" for part in splits.SPLITS)
]


def test_given_folders_are_kept(tree: dict[str, Any], rng: np.random.Generator) -> None:
    table = given(FULL)
    chosen = splits.choose(table, TASKS["multiclass"], folders_rule(tree), rng)
    assert chosen.tolist() == table["split"].tolist()


def test_given_folders_that_tear_a_group_apart_are_refused(
    tree: dict[str, Any], rng: np.random.Generator
) -> None:
    table = given([*FULL, ("a", "test", 0)])
    with pytest.raises(SeedlingsError, match=r"(?s)1 groups.*0\.png = 6\.png"):
        splits.choose(table, TASKS["multiclass"], folders_rule(tree), rng)


def test_given_folders_that_tear_a_group_apart_are_accepted_if_asked(
    tree: dict[str, Any], rng: np.random.Generator
) -> None:
    table = given([*FULL, ("a", "test", 0)])
    tree["split"]["crossing_duplicates"] = "accept"
    chosen = splits.choose(table, TASKS["multiclass"], folders_rule(tree), rng)
    assert chosen.tolist() == table["split"].tolist()
    assert splits.crossing_groups(table) == ["0.png = 6.png"]
    assert splits.crossing_groups(given(FULL)) == []


def test_given_folders_have_to_hold_every_class(
    tree: dict[str, Any], rng: np.random.Generator
) -> None:
    with pytest.raises(SeedlingsError, match="every class in validation, found none of: b"):
        table = given([row for row in FULL if row[:2] != ("b", "validation")])
        splits.choose(table, TASKS["multiclass"], folders_rule(tree), rng)


@pytest.mark.parametrize("lacking", ["test", "validation"])
def test_a_folder_that_is_not_there_is_drawn_from_training(
    lacking: str, tree: dict[str, Any], rng: np.random.Generator
) -> None:
    kept = "validation" if lacking == "test" else "test"
    rows = [(label, "train", n) for n, label in enumerate("ab" * 20)]
    table = given([*rows, ("a", kept, 98), ("b", kept, 99)])
    tree["split"] |= {"validation_share": 0.1, "test_share": 0.25, "validation_per_class": 2}
    chosen = splits.choose(table, TASKS["multiclass"], folders_rule(tree), rng)
    assert chosen[-2:].tolist() == [kept, kept]
    drawn = table["label"][chosen == lacking].value_counts().to_dict()
    assert drawn == ({"a": 5, "b": 5} if lacking == "test" else {"a": 2, "b": 2})


@pytest.mark.parametrize(
    ("task", "labels"),
    [("regression", [str(n / 7) for n in range(100)]), ("multilabel", ["x y", "x", "y", "z"] * 25)],
)
def test_shares_are_taken_of_numbers_and_tags(
    task: str, labels: list[str], tree: dict[str, Any], rng: np.random.Generator
) -> None:
    tree["split"] |= {"rule": "share", "validation_share": 0.1, "test_share": 0.2}
    table = pd.DataFrame({"label": labels, "split": "", "group": np.arange(100)})
    chosen = splits.choose(table, TASKS[task], check(tree).split, rng)
    assert (chosen == "test").sum() == pytest.approx(20, abs=1)
    assert (chosen == "validation").sum() == pytest.approx(10, abs=2)
    if task == "regression":  # of every tenth of the values
        values = table["label"].astype(float).to_numpy()
        spread = np.histogram(values[chosen == "test"], 10, (0, 99 / 7))[0]
        assert spread.tolist() == [2] * 10


def test_rows_and_counts_are_of_the_splits() -> None:
    table = pd.DataFrame({"label": ["b", "a", "b"], "split": ["train", "test", "train"]})
    assert split_table.rows(table, "train").tolist() == [0, 2]
    assert splits.counts(table, TASKS["multiclass"])["b"] == {
        "train": 2,
        "validation": 0,
        "test": 0,
    }
