"""Data sets that come as arrays, written as one PNG an image."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedlings import images
from seedlings.errors import SeedlingsError
from seedlings.io.progress import bar


def write_mnist(file: Path, target: Path) -> None:
    """MNIST as Keras packs it (`mnist.npz`), in folders train/<digit> and test/<digit>.

    Raises SeedlingsError where the file does not hold the four arrays.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            parts = {name: (arrays[f"x_{name}"], arrays[f"y_{name}"]) for name in ("train", "test")}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SeedlingsError(
            f"{file}: expected the arrays x_train, y_train, x_test and y_test of Keras' "
            f"mnist.npz, found something else ({error})"
        ) from error
    for name, (pictures, labels) in parts.items():
        _write(pictures, labels, target / name)


def write_digits(target: Path) -> None:
    """The 1,797 digits of scikit-learn, 8 x 8, in one folder a digit.

    They are the test part of Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits.
    """
    from sklearn.datasets import load_digits  # takes a second, and no other source needs it

    digits = load_digits()
    _write(np.round(digits.images * (255.0 / 16.0)).astype(np.uint8), digits.target, target)


def _write(pictures: NDArray[np.uint8], labels: NDArray[np.integer], target: Path) -> None:
    """Grey pictures (N x H x W) as PNG, in one folder a label, numbered in their order."""
    for label in np.unique(labels):
        (target / str(label)).mkdir(parents=True)
    for number, picture in enumerate(bar(pictures, "write", unit="image")):
        path = target / str(labels[number]) / f"{number:05d}.png"
        path.write_bytes(images.encode_png(np.repeat(picture[:, :, None], 3, axis=2)))
