from collections.abc import Callable
from pathlib import Path

import grids
import numpy as np
import pandas as pd
import pytest

from benchmarks import arrays
from seedlings.segmentation import figures
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
