"""Fits: how an image of any proportions becomes one of a fixed height and width.

`stretch` resizes it, so that its proportions change. `crop` first cuts off what does not have the
proportions of height x width. `pad` resizes it so that all of it is inside, and fills the rest.
"""

from collections.abc import Sequence

import cv2

from seedlings.images import Image, resize


def resized(image: Image, height: int, width: int, fit: str) -> Image:
    """Return the image for a fit, without padding: with `pad`, one side may be shorter."""
    match fit:
        case "crop":
            return resize(_cropped(image, height, width), height, width)
        case "pad":
            return resize(image, *_inside(image, height, width))
        case _:
            return resize(image, height, width)


def padded(image: Image, height: int, width: int, colour: Sequence[int]) -> Image:
    """Return the image in the centre of height x width pixels, on a colour (RGB)."""
    rows, columns = height - image.shape[0], width - image.shape[1]
    if (rows, columns) == (0, 0):
        return image
    top, left = rows // 2, columns // 2
    borders = (top, rows - top, left, columns - left)
    return cv2.copyMakeBorder(image, *borders, cv2.BORDER_CONSTANT, value=[*colour])


def _cropped(image: Image, height: int, width: int) -> Image:
    """Return the largest centred rectangle with the proportions of height x width."""
    rows, columns = image.shape[:2]
    if rows * width > columns * height:
        kept = max(1, round(columns * height / width))
        top = (rows - kept) // 2
        return image[top : top + kept]
    kept = max(1, round(rows * width / height))
    left = (columns - kept) // 2
    return image[:, left : left + kept]


def _inside(image: Image, height: int, width: int) -> tuple[int, int]:
    """Return the height and width of the whole image, resized until it fills one side."""
    rows, columns = image.shape[:2]
    if rows * width > columns * height:
        return height, max(1, round(columns * height / rows))
    return max(1, round(rows * width / columns)), width
