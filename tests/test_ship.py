"""pretraining/ship.py, which replaces the weights in the library."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from imports import ROOT

from seedlings.errors import SeedlingsError
from seedlings.networks import drawn_weights, vgg16
from seedlings.networks.runtime import keras


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ship", ROOT / "pretraining" / "ship.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_writes_the_weights_in_half_precision_with_their_checksum(
    script: ModuleType, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    trained = vgg16.build((None, None, 3), 0.25)
    trained.save_weights(tmp_path / "trained.weights.h5")
    drawn_weights.write(trained, tmp_path / "half.weights.h5")
    target = tmp_path / "weights" / "vgg16_quarter.weights.h5"
    for name in ("trained", "half"):
        script.ship(tmp_path / f"{name}.weights.h5", target)
        assert target.read_bytes() == (tmp_path / "half.weights.h5").read_bytes()
        assert drawn_weights.verified(target) == target


def test_it_refuses_what_is_not_the_network(script: ModuleType, tmp_path: Path) -> None:
    source, target = tmp_path / "trained.weights.h5", tmp_path / "target.weights.h5"
    with pytest.raises(SeedlingsError, match="found no file; run `dvc repro` in pretraining"):
        script.ship(source, target)
    vgg16.build((None, None, 3), 0.1).save_weights(source)
    with pytest.raises(SeedlingsError, match="not have the weights of VGG16 with the width 0.25"):
        script.ship(source, target)
    assert not target.exists()
