"""pretraining/ship.py, which replaces the weights in the library."""

from pathlib import Path

import numpy as np
import pytest

import ship
from seedlings.errors import SeedlingsError
from seedlings.networks import models, vgg16
from seedlings.networks.runtime import keras


def network(seed: int = 0) -> "keras.Model":
    keras.utils.set_random_seed(seed)
    return vgg16.build((None, None, 3), 0.25)


@pytest.mark.slow
def test_it_writes_the_weights_in_half_precision(tmp_path: Path) -> None:
    trained = network()
    trained.save_weights(tmp_path / "trained.weights.h5")
    ship.ship(tmp_path / "trained.weights.h5", tmp_path / "shipped.weights.h5")
    shipped = network(seed=1)
    models.load_weights(shipped, tmp_path / "shipped.weights.h5")
    for found, expected in zip(shipped.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected.astype(np.float16))
    ship.ship(tmp_path / "shipped.weights.h5", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "shipped.weights.h5").read_bytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e5])
def test_weights_that_half_precision_does_not_have_are_refused(
    tmp_path: Path, value: float
) -> None:
    model = network()
    model.weights[1].assign(np.full(16, value))
    with pytest.raises(SeedlingsError, match="finite and at most 65504, found 16 others"):
        ship.write(model, tmp_path / "weights")
    assert list(tmp_path.iterdir()) == []


def test_it_refuses_what_is_not_the_network(tmp_path: Path) -> None:
    source, target = tmp_path / "trained.weights.h5", tmp_path / "target.weights.h5"
    with pytest.raises(SeedlingsError, match="found no file; run `dvc repro` in pretraining"):
        ship.ship(source, target)
    vgg16.build((None, None, 3), 0.1).save_weights(source)
    with pytest.raises(SeedlingsError, match="not have the weights of VGG16 with the width 0.25"):
        ship.ship(source, target)
    assert not target.exists()
