"""pretraining/ship.py, which replaces the weights in the library."""

from pathlib import Path

import pytest

import ship
from seedlings.errors import SeedlingsError
from seedlings.networks import drawn_weights, vgg16
from seedlings.networks.runtime import keras


def test_it_writes_the_weights_in_half_precision_with_their_checksum(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    trained = vgg16.build((None, None, 3), 0.25)
    trained.save_weights(tmp_path / "trained.weights.h5")
    drawn_weights.write(trained, tmp_path / "half.weights.h5")
    target = tmp_path / "weights" / "vgg16_quarter.weights.h5"
    for name in ("trained", "half"):
        ship.ship(tmp_path / f"{name}.weights.h5", target)
        assert target.read_bytes() == (tmp_path / "half.weights.h5").read_bytes()
        assert drawn_weights.verified(target) == target


def test_it_refuses_what_is_not_the_network(tmp_path: Path) -> None:
    source, target = tmp_path / "trained.weights.h5", tmp_path / "target.weights.h5"
    with pytest.raises(SeedlingsError, match="found no file; run `dvc repro` in pretraining"):
        ship.ship(source, target)
    vgg16.build((None, None, 3), 0.1).save_weights(source)
    with pytest.raises(SeedlingsError, match="not have the weights of VGG16 with the width 0.25"):
        ship.ship(source, target)
    assert not target.exists()
