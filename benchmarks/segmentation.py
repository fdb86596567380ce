"""The segmentation methods in images/s, and color_distance beside plain NumPy."""

import sys
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import riemersma
from benchmarks.measure import compare, seconds, seedlings
from seedlings.segmentation import masks

Image = NDArray[np.uint8]

_IMAGES = 480
_REPEATS = 5


def main() -> None:
    pictures = seedlings(_IMAGES)
    cv2.setNumThreads(1)
    rates = {}
    methods = {name: method.cut_out for name, method in masks.METHODS.items()}
    for name, method in {**methods, "plain NumPy": riemersma.cut_out}.items():
        method(pictures[0])
        rates[name] = _IMAGES / seconds(partial(_all, method, pictures), _REPEATS)
        cut = _all(method, pictures)
        empty = np.mean([masks.foreground(masks.kept(image)) < 0.001 for image in cut])
        print(f"{name:<15} {rates[name]:>8.0f} images/s   {empty:>6.1%} empty masks")
    for number, image in enumerate(pictures):
        if not np.array_equal(methods["color_distance"](image), riemersma.cut_out(image)):
            sys.exit(f"expected color_distance to equal plain NumPy, image {number} differs")
    print("color_distance equals plain NumPy")
    compare("color_distance / plain NumPy", rates["color_distance"] / rates["plain NumPy"], 3)


def _all(method: Callable[[Image], Image], pictures: Sequence[Image]) -> list[Image]:
    return [method(image) for image in pictures]


if __name__ == "__main__":
    main()
