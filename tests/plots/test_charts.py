from pathlib import Path

import numpy as np

from seedlings import images
from seedlings.plots import charts


def test_charts_are_pictures_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    counts = {"a model": np.array([[9, 1], [0, 10]])}
    values = {name: [1.0, 0.5] for name in ("loss", "val_loss", "accuracy", "val_accuracy")}
    for folder in ("one", "two"):
        charts.confusion(counts, ["Maize", "Shepherd’s Purse"], tmp_path / folder / "c.png")
        charts.curves(values, "accuracy", tmp_path / folder / "v.png")
    for name in ("c.png", "v.png"):
        data = (tmp_path / "one" / name).read_bytes()
        assert data == (tmp_path / "two" / name).read_bytes()
        assert b"matplotlib" not in data.lower()
        picture = images.decode(data)
        assert picture.shape[1] > 200
        assert picture.std() > 5


def test_a_higher_share_is_darker(tmp_path: Path) -> None:
    def darkness(counts: list[list[int]]) -> float:
        charts.confusion({"m": np.array(counts)}, ["a", "b"], tmp_path / "c.png")
        return -float(images.read(tmp_path / "c.png").mean())

    assert darkness([[9, 0], [0, 9]]) > darkness([[0, 0], [0, 9]])
