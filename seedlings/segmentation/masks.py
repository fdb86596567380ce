"""Masks: which pixels are plant, and the picture with everything else taken away.

A further method is one more subclass of `Method` and one more line in `METHODS`.
"""

from abc import ABC, abstractmethod
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class Method(ABC):
    """A way to tell plant from background."""

    @abstractmethod
    def mask(self, image: Image) -> Mask:
        """H x W, True on the plant, of an H x W x 3 RGB uint8 image."""

    def cut_out(self, image: Image) -> Image:
        """The image with its background set to 0; same shape and dtype."""
        return cv2.copyTo(image, self.mask(image).view(np.uint8))


class ExcessGreen(Method):
    """Excess green, 2G - R - B, above Otsu's threshold.

    The index of Woebbecke et al. (1995, Trans. ASAE 38(1)), here on the plain colour values:
    dividing by R + G + B first, as they do, makes noise of dark soil as green as a leaf. Negative
    values count as 0. The threshold is Otsu's (1979, IEEE Trans. SMC 9(1)).
    """

    def mask(self, image: Image) -> Mask:
        """Where the index is above its own threshold."""
        weights = np.array([[-1.0, 2.0, -1.0]], np.float32)
        green = cv2.transform(image, weights)  # saturates to 0..255
        return cv2.threshold(green, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1].view(np.bool_)


class ColorDistance(Method):
    """The chapter's method: near one of four greens, then a median blur of 9.

    The distance is the low-cost approximation of CIELUV by T. Riemersma (CompuPhase), squared and
    in whole numbers. It depends on the colour alone, so it is computed once for every colour.
    """

    GREENS = ((71, 86, 38, 1600), (65, 79, 19, 1600), (95, 106, 56, 1600), (56, 63, 43, 500))
    BLUR = 9

    def mask(self, image: Image) -> Mask:
        """Where the colour is near one of the greens."""
        packed = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA).view("<u4")[:, :, 0]
        return _near_greens().take(packed & 0xFFFFFF)

    def cut_out(self, image: Image) -> Image:
        """The image with its background at 0, then blurred; what is thin is lost."""
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
        """Boxes (left, top, width, height) outside of which the median blur leaves 0.

        A median is 0 wherever most of its window is, and most of most pictures is background:
        blurring the rest alone takes a third of the time.
        """
        window = (self.BLUR, self.BLUR)
        count = cv2.boxFilter(
            mask.view(np.uint8), -1, window, normalize=False, borderType=cv2.BORDER_REPLICATE
        )
        most = (count > self.BLUR**2 // 2).view(np.uint8)
        outlines, _ = cv2.findContours(most, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        return [cv2.boundingRect(outline) for outline in outlines]


class Whole(Method):
    """No segmentation: every pixel counts as plant."""

    def mask(self, image: Image) -> Mask:
        """Everything."""
        return np.ones(image.shape[:2], np.bool_)


METHODS: dict[str, Method] = {
    "excess_green": ExcessGreen(),
    "color_distance": ColorDistance(),
    "none": Whole(),
}


def kept(cut_out: Image) -> Mask:
    """H x W, True where a cut-out kept its pixel: where that is not black."""
    return np.bitwise_or.reduce(cut_out, axis=2) > 0


def foreground(mask: Mask) -> float:
    """The share (0..1) of pixels that are plant."""
    return cv2.countNonZero(mask.view(np.uint8)) / mask.size


def with_background(image: Image, cut_out: Image, background: str) -> Image:
    """The cut-out with its background as asked: `black`, `mean` or `dimmed`.

    `mean` is one colour, the mean of the background; `dimmed` has a third of its brightness, so
    that what the mask missed can still be seen.
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


def _mean(image: Image, mask: Mask) -> Image:
    return np.round(cv2.mean(image, mask.view(np.uint8))[:3]).astype(np.uint8)


@cache
def _near_greens() -> Mask:
    """For each of the 2^24 colours, at B << 16 | G << 8 | R: is it near one of the greens?"""
    near = np.zeros((256, 256, 256), np.bool_)
    value = np.arange(256)
    for red, green, blue, limit in ColorDistance.GREENS:
        mean = (value + red) // 2
        by_red = (512 + mean) * (value - red) ** 2 >> 8
        by_green = 4 * (value - green) ** 2
        by_blue_red = (767 - mean)[None, :] * (value - blue)[:, None] ** 2 >> 8
        # Only a small box of colours around each green can be near it.
        reds = np.flatnonzero(by_red <= limit)
        greens = np.flatnonzero(by_green <= limit)
        distance = (by_blue_red + by_red)[:, None, reds] + by_green[None, greens, None]
        near[np.ix_(value, greens, reds)] |= distance <= limit
    return near.reshape(-1)
