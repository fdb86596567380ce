import numpy as np
import pytest

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


def captioned(caption: str, tile: int) -> np.ndarray:
    return image_grid.draw([Row("", [Tile(block((1, 2, 3)), caption)] * 2)], tile)


@pytest.mark.parametrize(
    ("caption", "tile", "lines"),
    [
        ("0.0% foreground", 110, "0.0% foreground"),
        ("100.0% foreground", 110, "100.0%\nforeground"),
        (
            "Loose\nas Small-flowered Cranesbill\n9%",
            120,
            "Loose\nas Small-flowered\nCranesbill\n9%",
        ),
    ],
)
def test_a_line_of_a_caption_that_does_not_fit_its_tile_is_wrapped_at_a_space(
    caption: str, tile: int, lines: str
) -> None:
    assert np.array_equal(captioned(caption, tile), captioned(lines, tile))


@pytest.mark.parametrize("caption", ["W" * 40, "77.0% foreground", "wheat " * 40, "a\n" + "M" * 20])
def test_no_caption_reaches_beyond_its_tile(caption: str) -> None:
    grid = captioned(caption, 96)
    gap = np.r_[0:4, 100:104, 200:204]  # left, between, and right of the tiles
    assert (grid[:, gap] == 255).all()
    assert (grid[104:, 4:100] < 128).any()


@pytest.mark.parametrize("title", ["wheat " * 60, "M" * 300, "玉米" * 200])
def test_a_long_title_is_wrapped_and_does_not_widen_the_grid(title: str) -> None:
    grid = image_grid.draw([Row(title, [Tile(block((1, 2, 3)))])])
    assert grid.shape[1] == 600
    assert grid.shape[0] > 120 + 2 * 16
    assert (grid[:, -4:] == 255).all()


def test_a_line_without_spaces_is_wrapped_between_letters() -> None:
    assert np.array_equal(captioned("W" * 12, 96), captioned("W" * 7 + "\n" + "W" * 5, 96))


def test_a_caption_of_many_words_has_three_lines() -> None:
    assert captioned("wheat " * 40, 96).shape == captioned("a\nb\nc", 96).shape
