from collections.abc import Callable
from pathlib import Path

import grids
import numpy as np
import pandas as pd
import pytest

from benchmarks import arrays
from seedlings import images
from seedlings.params import Params
from seedlings.segmentation import figures, preprocessing
from seedlings.tasks import TASKS


def test_before_and_after_shows_some_images_of_every_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_folder: Callable[..., Path]
) -> None:
    drawn = grids.recorded(monkeypatch)
    folder = image_folder({"a": 5, "b": 1})
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    table = pd.DataFrame({"path": paths, "label": [path[0] for path in paths]})
    arrays.write(tmp_path / "cut", np.zeros((6, 8, 8, 3), np.uint8))
    figures.before_and_after(
        folder,
        table,
        TASKS["multiclass"],
        cutouts=tmp_path / "cut",
        shares=np.linspace(0, 0.5, 6),
        path=tmp_path / "s.png",
    )
    assert [row.title for row in drawn[0]] == ["a", "b"]
    assert [tile.caption for tile in drawn[0][0].tiles[1::2]] == [
        "0.0% foreground",
        "20.0% foreground",
        "40.0% foreground",
    ]


def test_the_images_that_a_fit_changes_most_are_shown_in_each(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    noise: Callable[..., np.ndarray],
    params: Params,
) -> None:
    drawn = grids.recorded(monkeypatch)
    segment = params.segment.model_copy(update={"pixels": [30, 30], "fit": "crop"})
    shapes = {"a": (40, 40), "b": (40, 90), "c": (50, 40), "d": (40, 41), "e": (80, 40)}
    for name, shape in shapes.items():
        (tmp_path / name).write_bytes(images.encode_png(noise(*shape)))
    table = pd.DataFrame({"path": sorted(shapes)})
    assert figures.fits(tmp_path, table, segment, tmp_path / "fits.png")
    assert [row.title for row in drawn[0]] == ["b", "e", "c"]
    tiles = drawn[0][0].tiles
    assert [tile.caption for tile in tiles] == ["image", "stretch", "crop (used)", "pad"]
    image = images.read(tmp_path / "b")
    assert np.array_equal(tiles[2].image, preprocessing.cut_out(image, segment))
    assert tiles[3].image[0].max() == 0


def test_no_fits_are_shown_if_all_images_have_the_proportions(
    tmp_path: Path, noise: Callable[..., np.ndarray], params: Params
) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(images.encode_png(noise(40, 40)))
    table = pd.DataFrame({"path": ["a", "b"]})
    assert not figures.fits(tmp_path, table, params.segment, tmp_path / "fits.png")
    assert not (tmp_path / "fits.png").exists()
