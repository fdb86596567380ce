from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from seedlings import images
from seedlings.data import datasets
from seedlings.errors import SeedlingsError


def test_mnist_comes_in_folders_of_its_two_parts(tmp_path: Path, rng: np.random.Generator) -> None:
    train = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    test = rng.integers(0, 256, (2, 28, 28), dtype=np.uint8)
    file = tmp_path / "mnist.npz"
    np.savez(file, x_train=train, y_train=[3, 1, 3, 0, 1], x_test=test, y_test=[0, 3])
    datasets.write_mnist(file, tmp_path / "raw")
    found = sorted(p.relative_to(tmp_path / "raw").as_posix() for p in tmp_path.rglob("*.png"))
    assert found == [
        "test/0/00000.png",
        "test/3/00001.png",
        "train/0/00003.png",
        "train/1/00001.png",
        "train/1/00004.png",
        "train/3/00000.png",
        "train/3/00002.png",
    ]
    picture = images.read(tmp_path / "raw/train/3/00002.png")
    assert np.array_equal(picture, np.repeat(train[2][:, :, None], 3, axis=2))


def test_a_file_that_is_not_mnist_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", other=[1])
    (tmp_path / "text.npz").write_bytes(b"no archive")
    for name in ("other.npz", "text.npz"):
        with pytest.raises(SeedlingsError, match=rf"{name}: expected the arrays x_train"):
            datasets.write_mnist(tmp_path / name, tmp_path / "raw")


def test_the_digits_are_scikit_learns(tmp_path: Path) -> None:
    datasets.write_digits(tmp_path / "raw")
    digits = load_digits()
    assert len(list((tmp_path / "raw").rglob("*.png"))) == 1797
    picture = images.read(tmp_path / "raw" / str(digits.target[7]) / "00007.png")
    np.testing.assert_allclose(picture[:, :, 0], digits.images[7] * 255 / 16, atol=0.5)
