from pathlib import Path

import numpy as np

from seedlings import images
from seedlings.plots import image_grid
from seedlings.plots.image_grid import Row, Tile


def block(colour: tuple[int, int, int], height: int = 10, width: int = 10) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def test_every_tile_is_on_the_grid() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    rows = [
        Row("one", [Tile(block(c)) for c in colours[:2]]),
        Row("two", [Tile(block(colours[2]))]),
    ]
    grid = image_grid.draw(rows, tile=32)
    for colour in colours:
        assert (grid == colour).all(axis=2).sum() == 32 * 32


def test_a_tall_picture_keeps_its_proportions() -> None:
    grid = image_grid.draw([Row("", [Tile(block((200, 0, 0), 40, 10))])], tile=40)
    red = (grid == (200, 0, 0)).all(axis=2)
    assert red.any(axis=1).sum() == 40
    assert red.any(axis=0).sum() == 10


def test_titles_are_drawn_with_unicode() -> None:
    def ink(text: str) -> int:
        return int((image_grid.draw([Row(text)]) < 128).any(axis=2).sum())

    assert ink("Shepherd’s Purse") > ink("Shepherds Purse") > 0


def test_a_grid_without_tiles_has_its_title() -> None:
    assert image_grid.draw([Row("nothing to show")]).shape[1] > 80


def test_the_same_grid_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = [Row("one", [Tile(block((1, 2, 3)), "a caption\nof two lines that is too long")])]
    for name in ("a.png", "b.png"):
        image_grid.write(image_grid.draw(rows), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert np.array_equal(images.read(tmp_path / "a.png"), image_grid.draw(rows))
