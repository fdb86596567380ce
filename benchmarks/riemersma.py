"""The colour distance of T. Riemersma (CompuPhase) in NumPy: the reference of `color_distance`."""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

# (red, green, blue, squared distance), as published.
GREENS = ((71, 86, 38, 1600), (65, 79, 19, 1600), (95, 106, 56, 1600), (56, 63, 43, 500))


def mask(image: Image) -> NDArray[np.bool_]:
    """Return H x W, True where a pixel of an RGB uint8 image is near one of the greens."""
    red, green, blue = (image[..., channel].astype(np.int32) for channel in range(3))
    background = np.ones(image.shape[:2], np.bool_)
    for r, g, b, limit in GREENS:
        rmean = (red + r) // 2
        distance = (
            (((512 + rmean) * (red - r) ** 2) >> 8)
            + 4 * (green - g) ** 2
            + (((767 - rmean) * (blue - b) ** 2) >> 8)
        )
        background &= distance > limit
    return ~background


def cut_out(image: Image) -> Image:
    """Return the image with its background at 0, after a median blur of 9."""
    cut = image.copy()
    cut[~mask(image)] = 0
    return cv2.medianBlur(cut, 9)
