"""Image grids: rows of small images with captions."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seedlings import images
from seedlings.io import threads
from seedlings.io.files import replacing
from seedlings.plots import texts

Image = NDArray[np.uint8]
Label = tuple[str, NDArray[np.int64]]

TILE = 96  # pixels
BLANK = np.full((1, 1, 3), 255, np.uint8)
_PAPER, _INK = 255, 30
_MARGIN = 4
_LEAST = 600  # pixels of width for titles, if the tiles need less
_MOST_ROWS = 30  # so that a browser shows the grid at full size
_MOST = 3  # lines for one line of a caption or for a title


@dataclass(frozen=True, slots=True)
class Tile:
    """An image (RGB uint8, any size) and the lines of text below it.

    A line that is wider than the image is wrapped, at its spaces if it has some, into at most three
    lines, and shortened in the middle if that is not enough.
    """

    image: Image
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Tiles side by side, below a title, which is wrapped as a caption is."""

    title: str
    tiles: list[Tile] = field(default_factory=list)


def shown(labels: Sequence[Label]) -> tuple[list[Row], list[Label]]:
    """Return a heading, if not all labels are shown, and the labels that a figure has rows for.

    At most 30 are shown, evenly spaced. A label is its name and the rows of its images.
    """
    if len(labels) <= _MOST_ROWS:
        return [], [*labels]
    places = np.linspace(0, len(labels) - 1, _MOST_ROWS).round().astype(int)
    heading = f"{_MOST_ROWS} of {len(labels)} labels, evenly spaced by name"
    return [Row(heading)], [labels[place] for place in places]


def draw(rows: Sequence[Row], tile: int = TILE) -> Image:
    """Return the grid as one RGB uint8 image; each image is fitted into tile x tile pixels."""
    columns = max([1, *(len(row.tiles) for row in rows)])
    of_tiles = _MARGIN + columns * (tile + _MARGIN)
    longest = max([0, *(texts.width(row.title) for row in rows)])
    width = max(of_tiles, min(_LEAST, longest + 2 * _MARGIN))
    parts = [_draw_row(row, width, tile) for row in rows]
    return np.concatenate([_paper(_MARGIN, width), *parts])


def _draw_row(row: Row, width: int, tile: int) -> Image:
    title = _wrap(row.title, width - 2 * _MARGIN)
    captions = [_wrap(cell.caption, tile) for cell in row.tiles]
    top = texts.LINE * len(title)
    bottom = top + (tile + _MARGIN if row.tiles else 0)
    lines = max([0, *map(len, captions)])
    grid = _paper(bottom + texts.LINE * lines + 2, width)
    _write(grid, title, _MARGIN, 0)
    for column, (cell, caption) in enumerate(zip(row.tiles, captions, strict=True)):
        x = _MARGIN + column * (tile + _MARGIN)
        grid[top : top + tile, x : x + tile] = fit(cell.image, tile)
        _write(grid, caption, x, top + tile + 2)
    return grid


def _paper(height: int, width: int) -> Image:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _write(grid: Image, lines: Sequence[str], x: int, y: int) -> None:
    """Draw lines of text into a grid, below and right of a place."""
    for number, line in enumerate(lines):
        ink = texts.draw(line)[:, :, None] / 255.0
        top = y + number * texts.LINE
        part = grid[top : top + texts.LINE, x : x + ink.shape[1]]
        part[:] = np.minimum(part, np.round(_PAPER - ink * (_PAPER - _INK)))


def write(grid: Image, path: Path) -> None:
    """Write a grid (RGB uint8) as PNG; equal grids give equal bytes."""
    with replacing(path) as scratch:
        scratch.write_bytes(images.encode_png(grid))


def fit(image: Image, tile: int = TILE) -> Image:
    """Return the image resized to fit tile x tile pixels, with its aspect ratio, on white."""
    scale = tile / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    fitted = _paper(tile, tile)
    top, left = (tile - height) // 2, (tile - width) // 2
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    small = cv2.resize(image, (width, height), interpolation=method)
    fitted[top : top + height, left : left + width] = small
    return fitted


def thumbnails(paths: Iterable[Path]) -> list[Image]:
    """Return the image in each file, fitted into a tile, so that a grid needs little memory."""
    return list(threads.in_order(_thumbnail, paths))


def _thumbnail(path: Path) -> Image:
    return fit(images.read(path, least=(2 * TILE, 2 * TILE)))


def _wrap(text: str, pixels: int) -> list[str]:
    """Return the lines of a text, each at most so wide."""
    found = []
    for line in text.splitlines():
        lines: list[str] = []
        for piece in _pieces(line, pixels):
            longer = lines[-1] + piece if lines else piece
            if lines and (len(lines) == _MOST or texts.width(longer.rstrip()) <= pixels):
                lines[-1] = longer
            else:
                lines.append(piece)
        found += [texts.shorten(each.strip(), pixels) for each in lines]
    return found


def _pieces(line: str, pixels: int) -> Iterator[str]:
    """Yield the words of a line, each with the space after it, and parts of words too wide."""
    for word in texts.readable(line).split():
        piece = word if texts.width(word) <= pixels else ""
        for letter in word.removeprefix(piece):
            if piece and texts.width(piece + letter) > pixels:
                yield piece
                piece = ""
            piece += letter
        yield piece + " "
