from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from seedlings.io import split_table
from seedlings.io.parts import digest
from seedlings.review import queue
from seedlings.review.queue import DECIDED, DOUBTFUL, DUPLICATE, MISTAKE, Doubt
from seedlings.tasks import TASKS

MULTICLASS = TASKS["multiclass"]


def named(number: int) -> str:
    return digest(str(number).encode())


def split(
    labels: Sequence[str], *, contents: Sequence[int] = (), groups: Sequence[int] = ()
) -> pd.DataFrame:
    numbers = range(len(labels))
    return pd.DataFrame(
        {
            "path": [f"{n}.png" for n in numbers],
            "label": labels,
            "split": [split_table.SPLITS[n % 3] for n in numbers],
            "group": groups or numbers,
            "digest": [named(n) for n in contents or numbers],
            "original": labels,
        }
    )


def test_an_image_is_shown_once_with_all_doubts_in_the_order_of_its_first() -> None:
    table = split(["cat", "dog", "cat"])
    found = [
        (2, Doubt(DOUBTFUL, "first")),
        (0, Doubt(MISTAKE, "second")),
        (2, Doubt(MISTAKE, "third")),
    ]
    items = queue.build(table, MULTICLASS, found)
    assert [item.path for item in items] == ["2.png", "0.png"]
    assert [doubt.text for doubt in items[0].doubts] == ["first", "third"]
    assert items[0].kinds == {DOUBTFUL, MISTAKE}
    assert (items[1].label, items[1].split, items[1].originals) == ("cat", "train", ["cat"])


def test_files_with_one_content_are_one_image_with_all_its_labels() -> None:
    table = split(["cat", "dog", "cat"], contents=[7, 7, 8])
    found = [(row, Doubt(DUPLICATE, "")) for row in (0, 1)]
    [item] = queue.build(table, MULTICLASS, found)
    assert item.labels == [("0.png", "cat"), ("1.png", "dog")]
    assert item.originals == ["cat", "dog"]


def test_a_corrected_image_has_its_new_label_and_a_dropped_one_its_first() -> None:
    table = split(["cat", "dog"]).assign(label=["dog", ""])
    found = queue.decided(table, {named(0), named(1)})
    items = queue.build(table, MULTICLASS, found)
    assert [(item.label, item.originals) for item in items] == [("dog", ["cat"]), ("dog", ["dog"])]
    assert items[0].kinds == {DECIDED}


def test_doubtful_labels_keep_their_order_and_say_what_was_suggested() -> None:
    listed = pd.DataFrame(
        {
            "path": ["1.png", "gone.png", "0.png"],
            "split": ["validation", "train", "train"],
            "label": ["dog", "cat", "cat"],
            "probability": [0.012, 0.1, 0.2],
            "suggestion": ["cat", "dog", "dog"],
            "suggestion_probability": [0.97, 0.8, 0.7],
        }
    )
    found = list(queue.doubtful(split(["cat", "dog"]), listed))
    assert [row for row, _ in found] == [1, 0]
    assert found[0][1].text == (
        "cat has 97% and the label dog 1%, in a model that has not seen the image"
    )


def test_the_worst_mistakes_are_taken_up_to_the_limit() -> None:
    captions = [(1, "cat\nas dog\n98%"), (0, "dog\nas cat\n60%"), (2, "cat\nas dog\n51%")]
    found = list(queue.mistakes([10, 20, 30], captions, most=2))
    assert [(row, doubt.text) for row, doubt in found] == [
        (20, "predicted as dog, 98%"),
        (10, "predicted as cat, 60%"),
    ]


def hashes(exact: Sequence[int], perceptual: Sequence[int]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "digest": [named(n) for n in range(len(exact))],
            "exact": np.array(exact, np.uint64),
            "perceptual": np.array(perceptual, np.uint64),
        }
    )


def test_only_near_duplicates_with_different_labels_are_a_doubt_and_not_all_of_a_known_group() -> (
    None
):
    # One group: 0 and 1 are equal, 2 differs by one bit, 3 is of the same patient alone; 4 and 5
    # are duplicates with one label; 6 and 7 were one, and 7 is dropped.
    labels = ["cat", "cat", "dog", "dog", "cat", "cat", "cat", "dog"]
    table = split(labels, groups=[0, 0, 0, 0, 1, 1, 2, 2])
    table.loc[7, "label"] = ""
    far = 2**64 - 1
    prints = hashes([1, 1, 2, 3, 4, 4, 5, 5], [0, 0, 1, far, 9, 9, 8, 8])
    found = list(queue.near_duplicates(table, prints, MULTICLASS, 2))
    assert [row for row, _ in found] == [0, 1, 2]
    assert [doubt.others for _, doubt in found] == [(1, 2), (0, 2), (0, 1)]
    assert found[0][1].text == "a near duplicate has the label dog"
    assert found[2][1].text == "a near duplicate has the label cat"
    assert not list(queue.near_duplicates(table, prints, MULTICLASS, None))


@pytest.mark.parametrize(
    ("task", "labels", "count"),
    [("regression", ["0.5", "5e-1"], 0), ("multilabel", ["sea sky", "sky sea"], 0)],
)
def test_two_spellings_of_a_label_are_no_doubt(task: str, labels: list[str], count: int) -> None:
    table = split(labels, groups=[0, 0])
    found = list(queue.near_duplicates(table, hashes([1, 1], [0, 0]), TASKS[task], 0))
    assert len(found) == count


@pytest.mark.parametrize(
    ("filters", "paths"),
    [
        ({}, ["0.png", "1.png", "2.png"]),
        ({"kinds": [MISTAKE]}, ["1.png", "2.png"]),
        ({"labels": ["sea"]}, ["0.png", "1.png"]),
        ({"splits": ["validation", "test"]}, ["1.png", "2.png"]),
        ({"kinds": [MISTAKE], "labels": ["sky"], "splits": ["test"]}, ["2.png"]),
    ],
)
def test_filters_leave_what_fits_all_of_them(
    filters: dict[str, list[str]], paths: list[str]
) -> None:
    task = TASKS["multilabel"]
    table = split(["sea", "sea sky", "sky"])
    found = [
        (0, Doubt(DOUBTFUL, "")),
        (1, Doubt(MISTAKE, "")),
        (1, Doubt(DOUBTFUL, "")),
        (2, Doubt(MISTAKE, "")),
    ]
    items = queue.build(table, task, found)
    assert [item.path for item in queue.select(items, task, **filters)] == paths


@pytest.mark.parametrize(
    ("current", "decided", "expected"),
    [
        ("b", "", "c"),
        ("b", "c", "d"),
        ("d", "d", "a"),  # from the start
        ("b", "abcd", None),
        ("filtered", "a", "b"),
    ],
)
def test_the_next_image_is_the_next_one_without_a_decision(
    current: str, decided: str, expected: str | None
) -> None:
    assert queue.following([*"abcd"], current, decided) == expected
