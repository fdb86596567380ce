"""The segmentation methods in images/s, and color_distance against plain NumPy."""

import cv2
import numpy as np

from benchmarks import chapter
from benchmarks.measure import compare, seconds, seedlings
from seedlings.segmentation import masks

_IMAGES = 480
_REPEATS = 5


def main() -> None:
    pictures = seedlings(_IMAGES)
    cv2.setNumThreads(1)
    rates = {}
    methods = {name: method.cut_out for name, method in masks.METHODS.items()}
    for name, method in {**methods, "plain NumPy": chapter.cut_out}.items():
        method(pictures[0])
        took = seconds(lambda method=method: [method(image) for image in pictures], _REPEATS)
        rates[name] = _IMAGES / took
        cut = [method(image) for image in pictures]
        empty = np.mean([masks.foreground(masks.kept(image)) < 0.001 for image in cut])
        print(f"{name:<15} {rates[name]:>8.0f} images/s   {empty:>6.1%} empty masks")
    for image in pictures:
        assert np.array_equal(methods["color_distance"](image), chapter.cut_out(image))
    compare("color_distance against plain NumPy", rates["color_distance"] / rates["plain NumPy"], 3)


if __name__ == "__main__":
    main()
