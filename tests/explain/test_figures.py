from pathlib import Path

import grids
import numpy as np
import pytest

from benchmarks import arrays
from seedlings.explain import figures
from seedlings.explain.activation_maximization import MaximizedImage


def test_maximized_images_are_shown_by_layer_with_their_activations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = grids.recorded(monkeypatch)
    grey = np.full((5, 5, 3), 90, np.uint8)
    found = [MaximizedImage("conv", f"filter {n}", grey, 0.5, 2.0) for n in range(7)]
    output = MaximizedImage("output", "a", grey, -1.0, 0.25)
    inactive = MaximizedImage("output", "b", grey, 0.0, 0.0)
    figures.maximized([*found, output, inactive], tmp_path / "p.png")
    figures.maximized([], tmp_path / "none.png")
    assert [(row.title, len(row.tiles)) for row in drawn[0]] == [
        ("conv", 6),
        ("", 1),
        ("output", 2),
    ]
    captions = [tile.caption for tile in drawn[0][2].tiles]
    assert captions == ["a\n-1 to 0.25", "b\ninactive: 0 from noise"]
    assert [row.title for row in drawn[1]] == ["No filters to show"]


def test_saliency_shows_correct_images_beside_wrong_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = grids.recorded(monkeypatch)
    arrays.write(tmp_path / "a", np.arange(5, dtype=np.uint8).repeat(12).reshape(5, 2, 2, 3))
    columns = [[(0, "a"), (2, "b")], [(1, "c as a")]]
    figures.saliency(
        tmp_path / "a", np.array([1, 2, 4]), columns, lambda i: [i + 10, i + 20], tmp_path / "s.png"
    )
    _, first, second = drawn[0]
    assert [int(tile.image[0, 0, 0]) for tile in first.tiles] == [1, 11, 21, 2, 12, 22]
    assert [int(tile.image[0, 0, 0]) for tile in second.tiles] == [4, 14, 24, 255, 255, 255]
    assert [tile.caption for tile in first.tiles] == ["a", "", "", "c as a", "", ""]
