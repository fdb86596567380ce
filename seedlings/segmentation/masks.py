"""Masks: methods that separate the plant from the background.

To add a method, add a subclass of `Method` and an entry in `METHODS`.
"""

from abc import ABC, abstractmethod
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from seedlings.images import Image

Mask = NDArray[np.bool_]


class Method(ABC):
    """A segmentation method."""

    @abstractmethod
    def mask(self, image: Image) -> Mask:
        """Return the mask (H x W, True for the plant) of an image (H x W x 3, RGB uint8)."""

    def cut_out(self, image: Image) -> Image:
        """Return the image with its background set to 0; same shape and dtype."""
        return cv2.copyTo(image, self.mask(image).view(np.uint8))


class ExcessGreen(Method):
    """Excess green, 2G - R - B, above Otsu's threshold.

    The index is that of Woebbecke et al. (1995, Trans. ASAE 38(1)), on the colour values without
    division by R + G + B, because the division amplifies the noise of dark soil. Negative values
    are set to 0. The threshold is that of Otsu (1979, IEEE Trans. SMC 9(1)).
    """

    def mask(self, image: Image) -> Mask:
        """Return the mask of the pixels whose index is above the threshold."""
        weights = np.array([[-1.0, 2.0, -1.0]], np.float32)
        green = cv2.transform(image, weights)  # saturates to 0..255
        return cv2.threshold(green, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1].view(np.bool_)


class ColorDistance(Method):
    """Riemersma's colour distance to one of four greens, then a median blur of 9 x 9.

    The distance is the low-cost approximation of CIELUV by T. Riemersma (CompuPhase), squared and
    in integers. It depends only on the colour, so it is computed once for each of the 2^24 colours.
    """

    GREENS = ((71, 86, 38, 1600), (65, 79, 19, 1600), (95, 106, 56, 1600), (56, 63, 43, 500))
    BLUR = 9

    def mask(self, image: Image) -> Mask:
        """Return the mask of the pixels whose colour is near one of the greens."""
        packed = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA).view("<u4")[:, :, 0]
        return _near_greens().take(packed & 0xFFFFFF)

    def cut_out(self, image: Image) -> Image:
        """Return the image with its background set to 0, then blurred, which removes thin parts."""
        mask = self.mask(image)
        plant = cv2.copyTo(image, mask.view(np.uint8))
        result = np.zeros_like(image)
        margin = self.BLUR // 2
        for left, top, width, height in self._survivors(mask):
            y, x = max(0, top - margin), max(0, left - margin)
            around = plant[y : top + height + margin, x : left + width + margin]
            blurred = cv2.medianBlur(around, self.BLUR)[top - y :, left - x :]
            result[top : top + height, left : left + width] = blurred[:height, :width]
        return result

    def _survivors(self, mask: Mask) -> list[tuple[int, int, int, int]]:
        """Return boxes (left, top, width, height) outside of which the median blur returns 0.

        The median is 0 if most of its window is 0. Most pixels are background, and the blur of only
        these boxes takes a third of the time.
        """
        window = (self.BLUR, self.BLUR)
        count = cv2.boxFilter(
            mask.view(np.uint8), -1, window, normalize=False, borderType=cv2.BORDER_REPLICATE
        )
        most = (count > self.BLUR**2 // 2).view(np.uint8)
        outlines, _ = cv2.findContours(most, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        return [cv2.boundingRect(outline) for outline in outlines]


class Whole(Method):
    """No segmentation: every pixel is foreground."""

    def mask(self, image: Image) -> Mask:
        """Return a mask that is True everywhere."""
        return np.ones(image.shape[:2], np.bool_)


METHODS: dict[str, Method] = {
    "excess_green": ExcessGreen(),
    "color_distance": ColorDistance(),
    "none": Whole(),
}


def kept(cut_out: Image) -> Mask:
    """Return the mask (H x W) of a cut-out: True for the pixels that are not black."""
    return np.bitwise_or.reduce(cut_out, axis=2) > 0


def foreground(mask: Mask) -> float:
    """Return the share (0..1) of the pixels in the mask."""
    return cv2.countNonZero(mask.view(np.uint8)) / mask.size


def with_background(image: Image, cut_out: Image, background: str) -> Image:
    """Return the cut-out with the background `black`, `mean` or `dimmed`; same shape and dtype.

    `mean` is the mean colour of the background; `dimmed` is the background with a third of its
    brightness, so that parts that the mask missed remain visible.
    """
    plant = kept(cut_out)
    match background:
        case "mean":
            behind = np.broadcast_to(_mean(image, ~plant), image.shape)
        case "dimmed":
            behind = image // 3
        case _:
            return cut_out
    return np.where(plant[:, :, None], cut_out, behind)


def background_colour(image: Image, cut_out: Image, background: str) -> list[int]:
    """Return the colour (RGB) that continues the background; black if there is no background.

    It is that of `mean`, and a third of it for `dimmed`, the mean of the dimmed background.
    """
    if background == "black":
        return [0, 0, 0]
    colour = _mean(image, ~kept(cut_out))
    return (colour // 3 if background == "dimmed" else colour).tolist()


def _mean(image: Image, mask: Mask) -> Image:
    return np.round(cv2.mean(image, mask.view(np.uint8))[:3]).astype(np.uint8)


@cache
def _near_greens() -> Mask:
    """Return for each of the 2^24 colours, at B << 16 | G << 8 | R, whether it is near a green."""
    near = np.zeros((256, 256, 256), np.bool_)
    value = np.arange(256)
    for red, green, blue, limit in ColorDistance.GREENS:
        mean = (value + red) // 2
        by_red = (512 + mean) * (value - red) ** 2 >> 8
        by_green = 4 * (value - green) ** 2
        by_blue_red = (767 - mean)[None, :] * (value - blue)[:, None] ** 2 >> 8
        # Only colours in a small box around a green can be near it; the others need no distance.
        reds = np.flatnonzero(by_red <= limit)
        greens = np.flatnonzero(by_green <= limit)
        distance = (by_blue_red + by_red)[:, None, reds] + by_green[None, greens, None]
        near[np.ix_(value, greens, reds)] |= distance <= limit
    return near.reshape(-1)
