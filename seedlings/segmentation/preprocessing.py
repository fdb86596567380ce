"""Preprocessing: an image file becomes the input of the models, in training and in production."""

from typing import TYPE_CHECKING

from seedlings.images import Image, decode
from seedlings.segmentation.fits import padded, resized
from seedlings.segmentation.masks import (
    METHODS,
    background_colour,
    foreground,
    kept,
    with_background,
)

if TYPE_CHECKING:
    from seedlings.segmentation.params import Segment

_DECIMALS = 6  # of a share


def decoded(data: bytes, params: "Segment", *, name: str = "") -> Image:
    """Return an image file (RGB uint8), of which a cut-out needs at least twice its size.

    A larger file is decoded at a reduced size, so every cut-out must be of an image from here; see
    images.decode.
    """
    height, width = params.pixels
    return decode(data, name=name, least=(2 * height, 2 * width))


def cut_out(image: Image, params: "Segment") -> Image:
    """Return the cut-out of an image (RGB uint8, any size), which is the input of the models."""
    return cut_out_with_share(image, params)[0]


def cut_out_with_share(image: Image, params: "Segment") -> tuple[Image, float]:
    """Return the cut-out of an image, and its share (0..1) of foreground; see `cut_out`.

    The foreground, and the colour of the background, are those of the image without its padding.
    """
    height, width = params.pixels
    small = resized(image, height, width, params.fit)
    plant = METHODS[params.method].cut_out(small)
    share = round(foreground(kept(plant)), _DECIMALS)  # as in the table
    picture = with_background(small, plant, params.background)
    if params.fit != "pad":
        return picture, share
    colour = background_colour(small, plant, params.background)
    return padded(picture, height, width, colour), share
