from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedlings.data import duplicates, groups, splits
from seedlings.data.params import Data
from seedlings.errors import SeedlingsError
from seedlings.params import Params, check
from seedlings.tasks import TASKS


@pytest.fixture
def data(tree: dict[str, Any]) -> Callable[..., Data]:
    """The section with a pattern; with `file`, the labels are annotations."""

    def make(pattern: str | None, file: str | None = None, column: str | None = None) -> Data:
        tree["data"]["group"] = pattern
        tree["data"]["annotations"] |= {"file": file, "group": column}
        return check(tree).data

    return make


PATHS = ["a/p1/1.png", "a/p1/2.png", "b/p1/3.png", "b/p2-4.png"]


@pytest.mark.parametrize(
    ("pattern", "file", "rule", "expected"),
    [
        (None, None, "share", ["", "", "", ""]),
        (r"p\d", None, "share", ["p1", "p1", "p1", "p2"]),  # the whole match
        (r"/(p\d)", None, "share", ["p1", "p1", "p1", "p2"]),  # its first group
        (r"^a/(p\d)|nothing", None, "share", ["p1", "p1", "", ""]),
        (r"b|(p)", None, "share", ["p", "p", "", ""]),
        ("folder", None, "share", ["a/p1", "a/p1", "b/p1", ""]),  # below the folder of the class
        ("folder", "log.csv", "share", ["a/p1", "a/p1", "b/p1", "b"]),
    ],
)
def test_the_group_of_an_image_is_in_its_path(
    pattern: str | None,
    file: str | None,
    rule: str,
    expected: list[str],
    data: Callable[..., Data],
) -> None:
    table = pd.DataFrame({"path": PATHS})
    assert groups.find(table, data(pattern, file), rule) == expected
    nested = table.assign(path=[f"train/{path}" for path in PATHS])
    if pattern == "folder" and not file:
        found = ["train/a/p1", "train/a/p1", "train/b/p1", ""]
        assert groups.find(nested, data(pattern), "folders") == found


def test_a_pattern_or_a_column_without_a_group_is_an_error(data: Callable[..., Data]) -> None:
    table = pd.DataFrame({"path": PATHS, "known_group": ""})
    message = r"data\.group: expected the groups .* by 'camera', found none for 4 .* as a/p1/1\.png"
    with pytest.raises(SeedlingsError, match=message):
        groups.find(table, data("camera"), "share")
    message = r"data\.annotations\.group: expected the groups of images by 'plant', found none"
    with pytest.raises(SeedlingsError, match=message):
        groups.find(table, data(None, "log.csv", "plant"), "share")


def test_images_in_no_group_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.DataFrame({"path": PATHS, "known_group": ["p", "", "p", ""]})
    assert groups.alone(table) == ["a/p1/2.png", "b/p2-4.png"]
    printed = capsys.readouterr()
    assert printed.out == "split: 2 images are in 1 known group\n"
    assert "2 images are in none, each is a group of its own:\n  a/p1/2.png\n" in printed.err
    assert groups.alone(table.assign(known_group="")) == []
    assert capsys.readouterr().out == ""


def of_plants(rng: np.random.Generator, count: int) -> pd.DataFrame:
    """Images of plants, some of none, and some near duplicates of images of other plants."""
    hashes = rng.integers(0, 2**63, count).astype(np.uint64)
    again = rng.random(count) < 0.05
    near = np.where(again, hashes[rng.integers(0, count, count)] ^ np.uint64(1), hashes)
    plants = rng.integers(0, count // 6, count)
    names = np.where(rng.random(count) < 0.9, np.char.add("plant ", plants.astype(str)), "")
    return pd.DataFrame(
        {
            "path": [f"{n:04d}.png" for n in range(count)],
            "label": rng.choice(list("abc"), count),
            "split": "",
            "exact": hashes,
            "perceptual": near,
            "unit": hashes,
            "known_group": names,
        }
    )


def split(table: pd.DataFrame, params: Params) -> pd.DataFrame:
    found = table.reset_index(drop=True)
    found["group"] = duplicates.group(found, 6)
    found["unit"] = groups.units(found)
    found["split"] = splits.choose(found, TASKS["multiclass"], params.split, params.seed)
    return found


@pytest.mark.parametrize("rule", ["per_class", "share"])
@pytest.mark.parametrize("seed", range(20))
def test_no_known_group_crosses_a_split_however_the_data_grow(
    rule: str, seed: int, params: Params
) -> None:
    rng = np.random.default_rng(seed)
    own = params.model_copy(
        update={"split": params.split.model_copy(update={"rule": rule}), "seed": seed}
    )
    pool = of_plants(rng, 800)
    order = rng.permutation(len(pool))
    before = None
    for size in sorted(rng.integers(400, 801, 3)):
        found = split(pool.iloc[np.sort(order[:size])], own)
        known = found[found["known_group"] != ""]
        assert known.groupby("known_group")["split"].nunique().max() == 1
        assert known.groupby("known_group")["group"].nunique().max() == 1
        assert found.groupby("group")["split"].nunique().max() == 1
        if before is not None and rule == "share":
            check_kept(before, found)
        before = found


def check_kept(before: pd.DataFrame, after: pd.DataFrame) -> None:
    """A group that gained no other plant and no image alone keeps its split."""
    members = [
        {row.path: (row.split, frozenset(units[row.group])) for row in table.itertuples()}
        for table in (before, after)
        for units in [table.groupby("group")["unit"].agg(set)]
    ]
    both = members[0].keys() & members[1].keys()
    same = [path for path in both if members[0][path][1] == members[1][path][1]]
    assert len(same) > 150
    assert all(members[0][path][0] == members[1][path][0] for path in same)


def test_a_known_group_has_one_draw_however_many_images_it_has(params: Params) -> None:
    """By the largest draw of ten images, about no group would be in a test of a fifth."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 2_000).astype(np.uint64)
    table = pd.DataFrame({"path": "x", "label": "a", "split": "", "exact": hashes})
    table = table.assign(perceptual=hashes, unit=hashes)
    table["known_group"] = [f"plant {n // 10}" for n in range(2_000)]
    share = params.model_copy(update={"split": params.split.model_copy(update={"rule": "share"})})
    found = split(table, share)
    assert (found["split"] == "test").mean() == pytest.approx(0.2, abs=0.1)  # 4 deviations of 200
    assert found["group"].nunique() == 200
