"""Peaks: the images that filters and outputs of a network answer most to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Peak:
    """Where one ascent ended: a picture (H x W x 3, RGB uint8), and what it was worth."""

    layer: str
    name: str
    image: NDArray[np.uint8]
    start: float  # the mean activation, or the score, of the noise that it began as
    end: float


def rises(peaks: Sequence[Peak]) -> dict[str, float]:
    """Of each layer the mean activation of its images, at the start and at the end."""
    numbers = {}
    for layer in dict.fromkeys(peak.layer for peak in peaks):
        own = [peak for peak in peaks if peak.layer == layer]
        numbers[f"{layer}/start"] = float(np.mean([peak.start for peak in own]))
        numbers[f"{layer}/end"] = float(np.mean([peak.end for peak in own]))
    return numbers
