import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from seedlings.data import splits
from seedlings.errors import SeedlingsError
from seedlings.io import split_table
from seedlings.params import check
from seedlings.tasks import TASKS


def letters(split: np.ndarray) -> str:
    """The splits as one text, a letter for each image: t test, v validation, . training."""
    return "".join({"test": "t", "validation": "v", "train": "."}[name] for name in split)


def assign(
    labels: list[str], draws: list[float], groups: list[int] | None = None, validation: int = 2
) -> str:
    """The splits of images with classes: a fifth and the first of the others."""
    split = splits.assign(
        np.array(labels),
        np.arange(len(labels)) if groups is None else np.array(groups),
        draws=np.array(draws),
        parts={
            "test": splits.Interval(0.0, 0.2),
            "validation": splits.Interval(0.0, 1.0, validation),
        },
    )
    return letters(split)


def with_tags(
    tags: list[str], draws: list[float], groups: list[int] | None = None, share: float = 0.2
) -> str:
    """The splits of images with tags; validation has half of the share of the test."""
    split = splits.assign(
        np.full(len(tags), "all"),
        np.arange(len(tags)) if groups is None else np.array(groups),
        draws=np.array(draws),
        parts={
            "test": splits.Interval(0.0, share),
            "validation": splits.Interval(share, share / 2),
        },
        tags=[text.split() for text in tags],
    )
    return letters(split)


TENTHS = [n / 10 for n in range(10)]


def test_the_first_draws_are_for_the_test_the_next_for_validation() -> None:
    assert assign(["a"] * 10, TENTHS) == "ttvv......"
    assert assign(["a"] * 10, TENTHS[::-1]) == "......vvtt"
    assert assign(["a", "b"] * 5, TENTHS) == "ttvvvv...."


def test_a_group_has_its_largest_draw() -> None:
    assert assign(["a"] * 10, TENTHS, [0, 1, 2, 3, 4, 5, 6, 7, 8, 0]) == ".tvv......"
    # {0, 3} has 0.3: after 1 (test) and 2 (validation), only one of the two would fit.
    assert assign(["a"] * 10, TENTHS, [0, 1, 2, 0, 4, 5, 6, 7, 8, 9]) == ".tv.v....."


def test_a_group_that_does_not_fit_is_for_training_and_the_next_image_is_not() -> None:
    # After test: 2 (validation), then 3 and 4 together, which are one too many, then 5.
    assert assign(["a"] * 10, TENTHS, [0, 1, 2, 3, 3, 5, 6, 7, 8, 9]) == "ttv..v...."


def test_the_next_in_order_is_for_a_test_that_no_draw_falls_in() -> None:
    assert assign(["a"] * 5, [0.5, 0.3, 0.9, 0.7, 0.8]) == "vt.v."
    assert with_tags([""] * 4, [0.1, 0.6, 0.7, 0.8]) == "tv.."


def test_the_test_leaves_validation_and_one_training_image() -> None:
    assert assign(["a"] * 5, [0.01, 0.02, 0.03, 0.04, 0.05]) == "ttvv."
    assert with_tags([""] * 3, [0.25, 0.26, 0.27]) == "tv."


def test_a_draw_is_of_the_unit_and_the_seed_alone() -> None:
    units = np.array([3, 1, 2**64 - 1, 3], np.uint64)
    found = splits.draws(units, seed=1)
    digest = hashlib.blake2b((1).to_bytes(8), digest_size=8, key=(1).to_bytes(8)).digest()
    assert found[1] == pytest.approx(int.from_bytes(digest) / 2**64)
    assert found[0] == found[3]
    assert np.array_equal(splits.draws(units[:2], seed=1), found[:2])
    assert not np.isclose(splits.draws(units, seed=2), found).any()


def test_draws_are_uniform(rng: np.random.Generator) -> None:
    found = splits.draws(rng.integers(0, 2**63, 10_000).astype(np.uint64), seed=0)
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert 0.0 <= found.min() < found.max() < 1.0


def test_a_group_never_crosses(rng: np.random.Generator) -> None:
    labels = rng.choice(["a", "b"], 200)
    groups = rng.integers(0, 80, 200)
    text = np.array(list(assign(labels.tolist(), rng.random(200).tolist(), groups.tolist(), 10)))
    for group in np.unique(groups):
        assert len(set(text[groups == group])) == 1
    for label in "ab":
        assert (text[labels == label] == "v").sum() == 10


def test_every_class_that_is_too_small_is_listed() -> None:
    labels = ["a"] * 20 + ["b"] * 4 + ["c"] * 2
    draws = np.linspace(0, 0.9, 26).tolist()
    with pytest.raises(SeedlingsError, match=r"(?s)b: 4 images, at least 5 needed.*c: 2 images"):
        assign(labels, draws, validation=3)
    assert assign(labels[:24], draws[:24]) == "tttttt" + "vv" + "." * 12 + "tvv."


def test_a_group_that_is_a_whole_class_is_an_error() -> None:
    draws = np.linspace(0, 0.9, 40).tolist()
    with pytest.raises(SeedlingsError, match=r"(?s)a: none for.*duplicate_distance.*block"):
        assign(["a"] * 20 + ["b"] * 20, draws, [0] * 20 + list(range(1, 21)))


def given(rows: list[tuple[str, str, int]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["label", "split", "group"])
    units = np.arange(len(table), dtype=np.uint64)
    return table.assign(path=[f"{n}.png" for n in range(len(table))], unit=units)


def folders_rule(tree: dict[str, Any]) -> Any:
    tree["split"]["rule"] = "folders"
    return check(tree).split


FULL = [
    (label, part, n)
    for n, (label, part) in enumerate((label, part) for label in "ab" for part in splits.SPLITS)
]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*FULL, ("a", "test", 0)], r"(?s)1 groups.*0\.png = 6\.png"),
        (
            [row for row in FULL if row[:2] != ("b", "validation")],
            "in validation, found none of: b",
        ),
    ],
)
def test_given_folders_that_tear_a_group_apart_or_lack_a_class_are_refused(
    rows: list[tuple[str, str, int]], message: str, tree: dict[str, Any]
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        splits.choose(given(rows), TASKS["multiclass"], folders_rule(tree), 0)


def test_given_folders_that_tear_a_group_apart_are_accepted_if_asked(
    tree: dict[str, Any],
) -> None:
    table = given([*FULL, ("a", "test", 0)])
    tree["split"]["crossing_duplicates"] = "accept"
    chosen = splits.choose(table, TASKS["multiclass"], folders_rule(tree), 0)
    assert chosen.tolist() == table["split"].tolist()
    assert splits.crossing_groups(table) == ["0.png = 6.png"]
    assert splits.crossing_groups(given(FULL)) == []


@pytest.mark.parametrize("lacking", ["test", "validation"])
def test_a_folder_that_is_not_there_is_drawn_from_training(
    lacking: str, tree: dict[str, Any], rng: np.random.Generator
) -> None:
    kept = "validation" if lacking == "test" else "test"
    rows = [(label, "train", n) for n, label in enumerate("ab" * 20)]
    table = given([*rows, ("a", kept, 98), ("b", kept, 99)])
    tree["split"] |= {"validation_share": 0.1, "test_share": 0.25, "validation_per_class": 2}
    chosen = splits.choose(table, TASKS["multiclass"], folders_rule(tree), 0)
    assert chosen[-2:].tolist() == [kept, kept]
    draws = splits.draws(table["unit"][:-2].to_numpy(), 0)
    inside = draws < 0.25 if lacking == "test" else (draws >= 0.25) & (draws < 0.35)
    assert (chosen[:-2] == lacking).tolist() == inside.tolist()
    assert set(table["label"][chosen == lacking]) == {"a", "b"}


@pytest.mark.parametrize(
    ("task", "labels"),
    [("regression", [str(n / 7) for n in range(100)]), ("multilabel", ["x y", "x", "y", "z"] * 25)],
)
def test_numbers_and_tags_are_split_by_their_draws_alone(
    task: str, labels: list[str], tree: dict[str, Any]
) -> None:
    tree["split"] |= {"rule": "share", "validation_share": 0.1, "test_share": 0.2}
    table = given([(label, "", n) for n, label in enumerate(labels)])
    chosen = splits.choose(table, TASKS[task], check(tree).split, 5)
    draws = splits.draws(table["unit"].to_numpy(), 5)
    expected = np.select([draws < 0.2, draws < 0.3], ["test", "validation"], "train")
    assert chosen.tolist() == expected.tolist()


MIDDLES = [(n + 0.5) / 10 for n in range(10)]


def test_each_split_has_an_image_of_each_tag() -> None:
    assert with_tags(["x"] * 10, MIDDLES) == "ttv......."
    # The next image with y in the order of the draws is for the test, the one after for validation.
    tags = ["x"] * 5 + ["x y"] + ["x"] + ["y"] * 3
    assert with_tags(tags, MIDDLES) == "ttv..t.v.."


def test_the_test_leaves_a_group_of_each_tag_for_validation_and_training() -> None:
    tags = ["y", "x y", "y", *["x"] * 7]  # the draws would put all images of y into the test
    assert with_tags([""] * 10, MIDDLES, share=0.3) == "tttv......"
    # Of y, the test has the first, so that validation and training have the others. Of x, both have
    # the first image beyond, or at the begin of, their interval.
    assert with_tags(tags, MIDDLES, share=0.3) == "tv.tv....."


def test_a_tag_of_too_few_groups_changes_nothing() -> None:
    assert with_tags(["x y", "x y", *["x"] * 8], MIDDLES) == "ttv......."
    groups = [0, 1, 2, 3, 4, 5, 6, 6, 6, 7]  # three images of y in one group
    assert with_tags([*["x"] * 6, *["x y"] * 3, "x"], MIDDLES, groups) == "ttv......."


def is_filled(found: str, tags: list[str], groups: list[int]) -> bool:
    """Whether each split has an image of each tag of at least three groups."""
    for tag in "vwxyz":
        rows = [row for row, text in enumerate(tags) if tag in text]
        if len({groups[row] for row in rows}) >= 3 and len({found[row] for row in rows}) < 3:
            return False
    return True


def test_the_draws_stay_where_they_have_an_image_of_each_tag(rng: np.random.Generator) -> None:
    same = filled = 0
    for _ in range(300):
        marks = rng.random((80, 4)) < rng.uniform(0.05, 0.9, 4)
        tags = [" ".join(np.array(list("wxyz"))[row]) or "v" for row in marks]
        groups = np.unique(rng.integers(0, 60, 80), return_inverse=True)[1].tolist()
        draws = rng.random(80).tolist()
        by_draws, found = with_tags([""] * 80, draws, groups), with_tags(tags, draws, groups)
        if is_filled(by_draws, tags, groups):
            assert found == by_draws
            same += 1
        filled += is_filled(found, tags, groups)
    assert 20 < same < 280
    assert filled >= 295  # tags that share few groups can exclude each other


@pytest.mark.parametrize(
    ("task", "labels", "expected"),
    [
        (
            "multilabel",
            ["x y", "x", "x z", "z"],
            ["y: no image in validation, test", "z: no image in train, validation"],
        ),
        ("multiclass", ["x", "x", "x", "z"], ["z: no image in train, validation"]),
        ("regression", ["0", "0", "0", "1"], ["9: 1 to 1: no image in train, validation"]),
    ],
)
def test_what_a_split_has_no_image_of_is_named(
    task: str, labels: list[str], expected: list[str]
) -> None:
    table = pd.DataFrame({"label": labels, "split": ["train", "validation", "test", "test"]})
    assert splits.absent(table, TASKS[task]) == expected


def test_an_image_that_is_alone_in_its_split_is_taken_for_tags_too(tree: dict[str, Any]) -> None:
    tree["split"]["rule"] = "share"
    table = given([("x", "", n) for n in range(3)])
    for seed in range(20):
        chosen = splits.choose(table, TASKS["multilabel"], check(tree).split, seed)
        assert sorted(chosen) == ["test", "train", "validation"]


def test_rows_and_counts_are_of_the_splits() -> None:
    table = pd.DataFrame({"label": ["b", "a", "b"], "split": ["train", "test", "train"]})
    assert split_table.rows(table, "train").tolist() == [0, 2]
    found = splits.counts(table, TASKS["multiclass"])
    assert found["b"] == {"train": 2, "validation": 0, "test": 0}
