"""Data sets that are arrays, written as one PNG for each image."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedlings import images
from seedlings.errors import SeedlingsError
from seedlings.io.progress import bar


def write_mnist(file: Path, target: Path) -> None:
    """Write MNIST, from Keras' `mnist.npz`, into the folders train/<digit> and test/<digit>.

    Raises SeedlingsError if the file does not contain the four arrays of Keras.
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
    """Write scikit-learn's 1,797 digits, 8 x 8 pixels, into one folder for each digit.

    They are the test set of Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits.
    """
    from sklearn.datasets import load_digits  # slow to import

    digits = load_digits()
    _write(np.round(digits.images * (255.0 / 16.0)).astype(np.uint8), digits.target, target)


def _write(pictures: NDArray[np.uint8], labels: NDArray[np.integer], target: Path) -> None:
    """Write grey images (N x H x W) as PNG into a folder for each label, numbered in order."""
    for label in np.unique(labels):
        (target / str(label)).mkdir(parents=True)
    for number, picture in enumerate(bar(pictures, "write", unit="image")):
        path = target / str(labels[number]) / f"{number:05d}.png"
        path.write_bytes(images.encode_png(np.repeat(picture[:, :, None], 3, axis=2)))
