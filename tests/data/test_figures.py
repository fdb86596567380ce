from collections.abc import Callable
from pathlib import Path

import grids
import pandas as pd
import pytest

from seedlings import images
from seedlings.data import figures
from seedlings.tasks import TASKS


def test_duplicates_shows_the_groups_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_folder: Callable[..., Path]
) -> None:
    drawn = grids.recorded(monkeypatch)
    folder = image_folder({"a": 3, "b": 1})
    table = pd.DataFrame(
        {
            "path": ["a/000.png", "a/001.png", "a/002.png", "b/000.png"],
            "label": ["a", "a", "a", "b"],
            "split": "train",
            "group": [0, 1, 0, 2],
        }
    )
    figures.duplicates(folder, table, tmp_path / "d.png")
    title, group = drawn[0]
    assert title.title == "1 group of (near) duplicates among 4 images"
    assert [tile.caption for tile in group.tiles] == ["000.png\ntrain", "002.png\ntrain"]


def test_the_figure_of_groups_names_dropped_images_and_says_that_groups_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_folder: Callable[..., Path]
) -> None:
    drawn = grids.recorded(monkeypatch)
    folder = image_folder({"a": 2})
    table = pd.DataFrame({"path": ["a/000.png", "a/001.png"], "label": ["a", ""], "split": "test"})
    figures.duplicates(folder, table.assign(group=0, known_group="p"), tmp_path / "d.png")
    title, group = drawn[0]
    assert title.title == "1 group of images that belong together among 2 images"
    assert group.title == "a: 2"
    assert [tile.caption for tile in group.tiles] == ["000.png\ntest", "001.png\ntest, dropped"]


def test_examples_shows_the_first_images_of_every_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_folder: Callable[..., Path]
) -> None:
    drawn = grids.recorded(monkeypatch)
    folder = image_folder({"a": 8, "b": 1})
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    table = pd.DataFrame({"path": paths, "label": [path[0] for path in paths]})
    figures.examples(folder, table, TASKS["multiclass"], tmp_path / "e.png")
    assert [(row.title, len(row.tiles)) for row in drawn[0]] == [("a", 6), ("b", 1)]


def test_examples_of_many_classes_show_thirty_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_folder: Callable[..., Path]
) -> None:
    drawn = grids.recorded(monkeypatch)
    names = [f"class {number:03d}" for number in range(200)]
    folder = image_folder(dict.fromkeys(names, 1))
    table = pd.DataFrame({"path": [f"{name}/000.png" for name in names], "label": names})
    figures.examples(folder, table, TASKS["multiclass"], tmp_path / "e.png")
    titles = [row.title for row in drawn[0]]
    assert titles[0] == "30 of 200 labels, evenly spaced by name"
    assert titles[1:] == sorted(set(titles[1:]))
    assert (titles[1], titles[-1], len(titles)) == ("class 000", "class 199", 31)
    assert images.read(tmp_path / "e.png").shape[0] < 4096  # what a browser shows
