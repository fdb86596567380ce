"""Texts in pictures: any name is drawn letter by letter, with the same bytes on every machine.

The fonts are part of locked packages: DejaVu Sans of matplotlib, which also joins Arabic letters
and writes from right to left, and the font `uni` of OpenCV, which has Chinese, Japanese and Korean.
A letter that neither has is replaced by its Unicode name in brackets: `[seedling]`.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from itertools import groupby
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib import style
from matplotlib.ft2font import FT2Font
from numpy.typing import NDArray

Coverage = NDArray[np.uint8]  # H x W: 0 for the paper, 255 for ink

LINE = 16  # pixels from one line to the next
SIZE = 12  # pixels of the letters
_UNI_SIZE = 13  # of the other font, for letters of the same height
_BASELINE = 13
_UNKNOWN = "?"  # OpenCV draws it in place of a letter that the font does not have
_CUT = "…"
_GENERIC = re.compile(r"^.*\b(?:letter|sign|character|digit) ")  # "devanagari letter ha": "ha"


def settings() -> AbstractContextManager[None]:
    """Return a context in which matplotlib draws names as they are, and reads no user's settings.

    Every chart is drawn and written in it. Without it, `$a^$` is a formula.
    """
    return style.context(["default", {"text.parse_math": False}])


def readable(text: str) -> str:
    """Return a text of one line without control characters and without letters of no font."""
    text = unicodedata.normalize("NFC", text)
    kinds = [unicodedata.category(letter) for letter in text]
    plain = "".join(
        " " if kind == "Cc" else letter
        for letter, kind in zip(text, kinds, strict=True)
        if kind not in ("Cf", "Cs", "Cn") and not _is_variation(letter)
    )
    if is_plain(plain):
        return plain
    parts = []
    for is_known, run in groupby(plain, _in_uni):
        letters = [*run]
        parts.append("".join(letters) if is_known else f"[{'-'.join(map(_spelled, letters))}]")
    return "".join(parts)


def is_plain(text: str) -> bool:
    """Return whether DejaVu Sans has all letters of a text, so that matplotlib can draw it."""
    return all(ord(letter) in _dejavu_letters() for letter in text)


def draw(text: str, scale: int = 1) -> Coverage:
    """Return a text of one line, made readable, as an array of `scale` x LINE rows."""
    text = readable(text)
    return _draw_dejavu(text, scale) if is_plain(text) else _draw_uni(text, scale)


def width(text: str) -> int:
    """Return the number of pixels that a text needs from left to right."""
    return draw(text).shape[1]


def shorten(text: str, pixels: int) -> str:
    """Return a text that is at most so wide; letters in its middle are replaced by `…`."""
    text = readable(text)
    whole = width(text)
    if whole <= pixels:
        return text
    kept = len(text) * pixels // whole
    while kept and width(_cut(text, kept)) > pixels:
        kept -= 1
    return _cut(text, kept)


def shorten_all(names: Sequence[str], pixels: int) -> list[str]:
    """Return different names, each at most so wide; equal ones begin with their place from 1."""
    short = [shorten(name, pixels) for name in names]
    counts = Counter(short)
    return [
        shorten(f"{place} {name}", pixels) if counts[brief] > 1 else brief
        for place, (name, brief) in enumerate(zip(names, short, strict=True), 1)
    ]


def _cut(text: str, kept: int) -> str:
    return text[: kept - kept // 2] + _CUT + text[len(text) - kept // 2 :]


def _draw_dejavu(text: str, scale: int) -> Coverage:
    font = _dejavu(scale)
    font.set_text(text)
    font.draw_glyphs_to_bitmap(antialiased=True)
    bitmap = np.asarray(font.get_image())
    below = round(font.get_descent() / 64)
    bottom = scale * _BASELINE + below
    found = np.zeros((scale * LINE + below, bitmap.shape[1]), np.uint8)
    visible = bitmap[max(len(bitmap) - bottom, 0) :]  # without what is above the line
    found[bottom - len(visible) : bottom] = visible
    return found[: scale * LINE]


def _draw_uni(text: str, scale: int = 1) -> Coverage:
    size = scale * _UNI_SIZE
    paper = np.zeros((scale * LINE, 2 * size * (len(text) + 1), 3), np.uint8)
    start, white = (0, scale * _BASELINE), (255, 255, 255)
    end, _ = cv2.putText(paper, text, start, white, _uni(), size)
    return paper[:, : max(end[0], 1), 0]


@cache
def _dejavu(scale: int = 1) -> FT2Font:
    font = FT2Font(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    font.set_size(scale * SIZE, 72)
    return font


@cache
def _dejavu_letters() -> frozenset[int]:
    return frozenset(_dejavu().get_charmap())


@cache
def _uni() -> "cv2.FontFace":
    return cv2.FontFace("uni")


@cache
def _in_uni(letter: str) -> bool:
    if letter in (_UNKNOWN, " "):
        return True
    return not np.array_equal(_draw_uni(_UNKNOWN), _draw_uni(letter))


def _is_variation(letter: str) -> bool:
    return "\ufe00" <= letter <= "\ufe0f"


def _spelled(letter: str) -> str:
    """Return the Unicode name of a letter, without its script."""
    name = unicodedata.name(letter, f"U+{ord(letter):04X}")
    return _GENERIC.sub("", name.lower())
