import numpy as np
import pandas as pd
import pytest

from seedlings.data import duplicates, splits
from seedlings.params import Params
from seedlings.tasks import TASKS
from seedlings.tracking import split_changes
from seedlings.tracking.split_changes import SplitChange


def table(rows: list[tuple[str, str, str, int]], digests: str = "") -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=["path", "label", "split", "group"])
    return found.assign(digest=list(digests) if digests else found["path"])


def test_an_image_of_both_versions_is_found_by_its_content_or_its_path() -> None:
    rows = [(path, "x", "train", n) for n, path in enumerate("abcd")]
    before = table(rows, "1234")
    after = table([(path, "x", "train", n) for n, path in enumerate("aecdf")], "16543")
    # b is gone, e is new, c has other pixels, and its old ones are f.
    assert split_changes.match(before, after) == {"a": "a", "d": "d", "f": "c"}
    edited = table(rows, "1239")
    assert split_changes.match(before, edited) == {path: path for path in "abcd"}


def test_images_that_differ_are_counted() -> None:
    rows = [(path, "x", "train", n) for n, path in enumerate("abcd")]
    before = table(rows, "1234")
    after = table([(path, "x", "train", n) for n, path in enumerate("aecdf")], "16543")
    assert split_changes.summary(before, after) == "2 added, 1 removed, 1 renamed"
    assert split_changes.summary(before, before) == "the same"
    edited = table(rows, "1239").assign(label=["y", "x", "x", "y"])
    assert split_changes.summary(before, edited) == "1 edited, 2 relabelled"


def test_an_image_that_comes_displaces_the_last_of_validation() -> None:
    before = table(
        [("a", "x", "validation", 0), ("b", "x", "validation", 1), ("c", "x", "train", 2)]
    )
    after = table(
        [
            ("a", "x", "validation", 0),
            ("b", "x", "train", 1),
            ("c", "x", "train", 2),
            ("d", "x", "validation", 3),
            ("e", "y", "validation", 4),
        ]
    )
    [change] = split_changes.find(before, after)
    assert change == SplitChange("b", "validation", "train", split_changes.DISPLACED)
    assert str(change).startswith("b: validation → train, displaced by another image of its class")
    [back] = split_changes.find(after, before)
    assert back == SplitChange("b", "train", "validation", split_changes.REPLACES)


def test_a_displaced_image_displaces_another() -> None:
    # d takes one of three places; the pair {a, b} does not fit any more, and c does.
    before = table(
        [("a", "x", "validation", 0), ("b", "y", "validation", 0), ("c", "y", "train", 2)]
    )
    after = table(
        [
            ("a", "x", "train", 0),
            ("b", "y", "train", 0),
            ("c", "y", "validation", 2),
            ("d", "x", "validation", 3),
        ]
    )
    found = {change.path: change for change in split_changes.find(before, after)}
    assert {found["a"].cause, found["b"].cause} == {split_changes.DISPLACED}
    assert found["c"] == SplitChange("c", "train", "validation", split_changes.REPLACES)


def test_groups_that_join_and_part_are_named() -> None:
    before = table([("a", "x", "test", 0), ("b", "x", "train", 1)])
    after = table([("a", "x", "train", 0), ("b", "x", "train", 0), ("c", "x", "train", 0)])
    [change] = split_changes.find(before, after)
    assert change == SplitChange("a", "test", "train", split_changes.GROUP)
    [change] = split_changes.find(after, before)
    assert change == SplitChange("a", "train", "test", split_changes.GROUP)
    swapped = table([("a", "x", "train", 0), ("d", "x", "train", 0)])
    [change] = split_changes.find(table([("a", "x", "test", 0), ("e", "x", "test", 0)]), swapped)
    assert change.cause == split_changes.GROUP


def test_labels_and_pixels_that_change_are_causes() -> None:
    before = table([("a", "x", "test", 0), ("b", "x", "test", 1), ("c", "x", "train", 1)], "123")
    after = table([("a", "y", "train", 0), ("b", "x", "train", 1), ("c", "x", "train", 1)], "124")
    assert split_changes.find(before, after) == [
        SplitChange("a", "test", "train", split_changes.LABEL),
        SplitChange("b", "test", "train", split_changes.GROUP),
    ]
    number = split_changes.find(before, after.assign(digest=list("123")), has_classes=False)
    assert [change.cause for change in number] == [split_changes.OTHER, split_changes.OTHER]


def test_a_change_without_a_change_of_its_class_has_no_cause() -> None:
    before = table([("a", "x", "test", 0), ("b", "x", "train", 1)])
    after = table([("a", "x", "train", 0), ("b", "x", "train", 1), ("c", "y", "train", 2)])
    [change] = split_changes.find(before, after)
    assert change.cause == split_changes.OTHER


def test_a_new_file_in_the_place_of_a_renamed_one_is_another_image() -> None:
    before = table([("a", "x", "test", 0)], "1")
    after = table([("a", "x", "train", 0), ("b", "x", "test", 1)], "21")
    assert split_changes.find(before, after) == []
    assert split_changes.find(before, after.assign(split="train"))[0].path == "b"


class Growth:
    """Tables of hashes without images, and their splits by the parameters."""

    def __init__(self, rng: np.random.Generator, params: Params) -> None:
        self.params, self.task, count = params, TASKS[params.task], 1_000
        hashes = rng.integers(0, 2**63, count).astype(np.uint64)
        again = rng.random(count) < 0.1  # a tenth are near duplicates of another image
        others = rng.integers(0, count, count)
        perceptual = np.where(again, hashes[others] ^ np.uint64(1), hashes)
        self.pool = pd.DataFrame(
            {
                "path": [f"{n:04d}.png" for n in range(count)],
                "label": rng.choice(list("abcdefgh"), count),
                "split": "",
                "exact": hashes,
                "unit": hashes,
                "perceptual": perceptual,
            }
        )

    def split(self, rows: np.ndarray) -> pd.DataFrame:
        found = self.pool.iloc[np.sort(rows)].reset_index(drop=True)
        found["digest"] = found["path"]
        found["group"] = duplicates.group(found, 6)
        found["split"] = splits.choose(found, self.task, self.params.split, self.params.seed)
        return found


@pytest.mark.parametrize("rule", ["per_class", "share"])
@pytest.mark.parametrize("seed", range(4))
def test_no_image_changes_its_split_without_a_cause(rule: str, seed: int, params: Params) -> None:
    own = params.split.model_copy(update={"rule": rule})
    growth = Growth(
        np.random.default_rng(seed), params.model_copy(update={"split": own, "seed": seed})
    )
    order = np.random.default_rng(seed).permutation(1_000)
    small, large = growth.split(order[:800]), growth.split(order[: 840 + 40 * seed])
    for before, after in ((small, large), (large, small)):
        causes = [change.cause for change in split_changes.find(before, after)]
        by_number = (split_changes.DISPLACED, split_changes.REPLACES)
        assert {*causes} <= {split_changes.GROUP, *by_number}
        displaced = sum(cause in by_number for cause in causes)
        others = len(large) - len(small) + causes.count(split_changes.GROUP)
        assert displaced <= (others if rule == "per_class" else 0)
    for split in (small, large):
        check_sizes(split, growth.params)


def check_sizes(split: pd.DataFrame, params: Params) -> None:
    """Validation is exact by class, and shares are within four standard deviations."""
    for _, rows in split.groupby("label"):
        shares = {"test": params.split.test_share, "validation": params.split.validation_share}
        if params.split.rule == "per_class":
            count = (rows["split"] == "validation").sum()
            assert count == params.split.validation_per_class
            del shares["validation"]
        for name, share in shares.items():
            deviation = abs((rows["split"] == name).sum() - share * len(rows))
            assert deviation <= 4 * np.sqrt(share * (1 - share) * len(rows))
