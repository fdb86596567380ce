from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from seedlings.explain.peaks import Peak

from seedlings import gallery, images
from seedlings.io import store
from seedlings.params import check
from seedlings.plots import image_grid
from seedlings.plots.image_grid import Row
from seedlings.tasks import TASKS
from seedlings.training.augmentations import Augmentation


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[Row]]:
    """The rows of every sheet that is drawn."""
    seen: list[list[Row]] = []
    draw = image_grid.draw
    monkeypatch.setattr(
        sheets, "draw", lambda rows, **o: (seen.append(list(rows)), draw(rows, **o))[1]
    )
    return seen


def test_the_worst_mistakes_come_with_their_pictures(
    tmp_path: Path, drawn: list[list[Row]]
) -> None:
    with store.create(tmp_path / "a", (2, 2, 3), np.uint8) as writer:
        writer.append(np.arange(5, dtype=np.uint8).repeat(12).reshape(5, 2, 2, 3))
    wrong = [(3, "b as a"), (2, "a as b"), (0, "b as a")]
    places = np.array([1, 2, 3, 4])
    gallery.mistakes(tmp_path / "a", places, wrong, path=tmp_path / "m.png", most=2)
    title, row = drawn[0]
    assert title.title == "The 2 worst of 3 mistakes on 4 test images"
    assert [tile.caption for tile in row.tiles] == ["b as a", "a as b"]
    assert [int(tile.image[0, 0, 0]) for tile in row.tiles] == [4, 3]
    assert images.read(tmp_path / "m.png").shape[0] > 100


def test_duplicates_shows_the_groups_alone(
    tmp_path: Path, drawn: list[list[Row]], image_folder: Callable[..., Path]
) -> None:
    folder = image_folder({"a": 3, "b": 1})
    table = pd.DataFrame(
        {
            "path": ["a/000.png", "a/001.png", "a/002.png", "b/000.png"],
            "label": ["a", "a", "a", "b"],
            "split": "train",
            "group": [0, 1, 0, 2],
        }
    )
    gallery.duplicates(folder, table, tmp_path / "d.png")
    title, group = drawn[0]
    assert title.title == "1 group of (near) duplicates among 4 images"
    assert [tile.caption for tile in group.tiles] == ["000.png\ntrain", "002.png\ntrain"]


def test_before_and_after_shows_some_of_every_class(
    tmp_path: Path, drawn: list[list[Row]], image_folder: Callable[..., Path]
) -> None:
    folder = image_folder({"a": 5, "b": 1})
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    table = pd.DataFrame({"path": paths, "label": [path[0] for path in paths]})
    with store.create(tmp_path / "cut", (8, 8, 3), np.uint8) as writer:
        writer.append(np.zeros((6, 8, 8, 3), np.uint8))
    gallery.before_and_after(
        folder,
        table,
        TASKS["multiclass"],
        cutouts=tmp_path / "cut",
        shares=np.linspace(0, 0.5, 6),
        path=tmp_path / "s.png",
    )
    assert [row.title for row in drawn[0]] == ["a", "b"]
    assert [tile.caption for tile in drawn[0][0].tiles[1::2]] == [
        "0.0% plant",
        "20.0% plant",
        "40.0% plant",
    ]


def test_every_augmentation_is_shown_alone_and_with_the_others(
    tmp_path: Path, drawn: list[list[Row]], tree: dict[str, Any]
) -> None:
    tree["finetune"]["augment"] |= {"rotation": 90.0, "noise": 0.05}
    augmentation = Augmentation(check(tree).finetune.augment, None, seed=0)
    with store.create(tmp_path / "a", (8, 8, 3), np.uint8) as writer:
        writer.append(np.full((1, 8, 8, 3), 99, np.uint8))
    gallery.augmented(tmp_path / "a", augmentation, tmp_path / "s.png")
    titles = [row.title for row in drawn[0]]
    assert titles == ["as it is", "rotation alone", "noise alone", "all together"]
    assert all(len(row.tiles) == 8 for row in drawn[0][1:])


def test_peaks_stand_by_layer_with_what_they_rose_to(
    tmp_path: Path, drawn: list[list[Row]]
) -> None:
    grey = np.full((5, 5, 3), 90, np.uint8)
    found = [Peak("conv", f"filter {n}", grey, 0.5, 2.0) for n in range(7)]
    gallery.peaks([*found, Peak("output", "a", grey, -1.0, 0.25)], tmp_path / "p.png")
    gallery.peaks([], tmp_path / "none.png")
    assert [(row.title, len(row.tiles)) for row in drawn[0]] == [
        ("conv", 6),
        ("", 1),
        ("output", 1),
    ]
    assert drawn[0][2].tiles[0].caption == "a\n-1 to 0.25"
    assert [row.title for row in drawn[1]] == ["No filters to show"]


def test_attention_has_right_ones_beside_wrong_ones(tmp_path: Path, drawn: list[list[Row]]) -> None:
    with store.create(tmp_path / "a", (2, 2, 3), np.uint8) as writer:
        writer.append(np.arange(5, dtype=np.uint8).repeat(12).reshape(5, 2, 2, 3))
    sides = [[(0, "a"), (2, "b")], [(1, "c as a")]]
    gallery.attention(
        tmp_path / "a", np.array([1, 2, 4]), sides, lambda i: [i + 10, i + 20], tmp_path / "s.png"
    )
    _, first, second = drawn[0]
    assert [int(tile.image[0, 0, 0]) for tile in first.tiles] == [1, 11, 21, 2, 12, 22]
    assert [int(tile.image[0, 0, 0]) for tile in second.tiles] == [4, 14, 24, 255, 255, 255]
    assert [tile.caption for tile in first.tiles] == ["a", "", "", "c as a", "", ""]
