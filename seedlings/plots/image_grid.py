"""Image grids: rows of small images with captions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from seedlings import images
from seedlings.io.files import replacing

Image = NDArray[np.uint8]

TILE = 96  # pixels
BLANK = np.full((1, 1, 3), 255, np.uint8)
_PAPER, _INK = (255, 255, 255), (30, 30, 30)
_MARGIN = 4
_TEXT = 12
_LINE = 16
_MOST = 3  # lines for one line of a caption


@dataclass(frozen=True, slots=True)
class Tile:
    """An image (RGB uint8, any size) and the lines of text below it.

    A line that is wider than the image is wrapped at its spaces, into at most three lines, and
    shortened if that is not enough.
    """

    image: Image
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Tiles side by side, below a title."""

    title: str
    tiles: list[Tile] = field(default_factory=list)


def draw(rows: Sequence[Row], tile: int = TILE) -> Image:
    """Return the grid as one RGB uint8 image; each image is fitted into tile x tile pixels."""
    columns = max([1, *(len(row.tiles) for row in rows)])
    width = _MARGIN + columns * (tile + _MARGIN)
    font = _font()
    width = max(width, *(2 * _MARGIN + int(font.getlength(row.title)) for row in rows), 1)
    captions = [[_wrap(cell.caption, tile, font) for cell in row.tiles] for row in rows]
    heights = [_row_height(row, lines, tile) for row, lines in zip(rows, captions, strict=True)]
    grid = PillowImage.new("RGB", (width, sum(heights) + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(grid)
    y = _MARGIN
    for row, texts, height in zip(rows, captions, heights, strict=True):
        if row.title:
            pen.text((_MARGIN, y), row.title, _INK, font)
        top = y + (_LINE if row.title else 0)
        for column, (cell, lines) in enumerate(zip(row.tiles, texts, strict=True)):
            x = _MARGIN + column * (tile + _MARGIN)
            grid.paste(PillowImage.fromarray(fit(cell.image, tile)), (x, top))
            for number, line in enumerate(lines):
                pen.text((x, top + tile + 2 + number * _LINE), line, _INK, font)
        y += height
    return np.asarray(grid)


def write(grid: Image, path: Path) -> None:
    """Write a grid (RGB uint8) as PNG; equal grids give equal bytes."""
    with replacing(path) as scratch:
        scratch.write_bytes(images.encode_png(grid))


def fit(image: Image, tile: int = TILE) -> Image:
    """Return the image resized to fit tile x tile pixels, with its aspect ratio, on white."""
    scale = tile / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    fitted = np.full((tile, tile, 3), _PAPER[0], np.uint8)
    top, left = (tile - height) // 2, (tile - width) // 2
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    small = cv2.resize(image, (width, height), interpolation=method)
    fitted[top : top + height, left : left + width] = small
    return fitted


def _row_height(row: Row, captions: Sequence[Sequence[str]], tile: int) -> int:
    lines = max([0, *map(len, captions)])
    picture = tile + _MARGIN if row.tiles else 0
    return (_LINE if row.title else 0) + picture + lines * _LINE + 2


def _wrap(caption: str, tile: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """Return the lines of a caption, each at most `tile` pixels wide."""
    found = []
    for line in caption.splitlines():
        lines: list[str] = []
        for word in line.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and (len(lines) == _MOST or font.getlength(longer) <= tile):
                lines[-1] = longer
            else:
                lines.append(word)
        found += [_shorten(text, tile, font) for text in lines]
    return found


def _shorten(line: str, tile: int, font: ImageFont.FreeTypeFont) -> str:
    if font.getlength(line) <= tile:
        return line
    while line and font.getlength(line + "…") > tile:
        line = line[:-1]
    return line + "…"


def _font() -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which matplotlib includes and which has the letters of most languages."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), _TEXT)
