import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from imports import ROOT

from seedlings.errors import SeedlingsError
from seedlings.networks import backbones, drawn_weights, vgg16
from seedlings.networks.runtime import keras
from seedlings.params import check

DRAWN = {"backbone": "VGG16", "width": 0.25, "weights": "drawn"}


def network(seed: int = 3) -> "keras.Model":
    keras.utils.set_random_seed(seed)
    model = vgg16.build((None, None, 3), 0.25)
    for weight in model.weights:  # biases, too, are not zero
        weight.assign(keras.random.normal(weight.shape, stddev=0.1))
    return model


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "keras.Model":
    """A network whose weights take the place of those in the package."""
    model = network()
    file = tmp_path / "package" / "vgg16_quarter.weights.h5"
    drawn_weights.install(model, file)
    monkeypatch.setattr(drawn_weights, "FILE", file)
    monkeypatch.setattr(drawn_weights.verified, "__defaults__", (file,))
    return model


def datasets(path: Path) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    with h5py.File(path) as file:
        file.visititems(lambda _, o: found.append(o[()]) if isinstance(o, h5py.Dataset) else None)
    return found


def test_the_weights_in_the_package_are_whole(tmp_path: Path) -> None:
    file = drawn_weights.verified()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    text = file.with_name(f"{file.name}.sha256").read_text(encoding="utf-8")
    assert text == f"{digest}  vgg16_quarter.weights.h5\n"
    assert file.stat().st_size < 2_000_000
    arrays = datasets(file)
    assert {array.dtype for array in arrays} == {np.dtype(np.float16)}
    assert sum(array.size for array in arrays) == 920_784
    assert all(np.isfinite(array).all() for array in arrays)
    assert all(array.std() > 0 for array in arrays if array.ndim == 4)


def test_the_backbone_has_the_drawn_weights(tree: dict, installed: "keras.Model") -> None:
    tree["extract"] |= DRAWN
    backbone = backbones.build(check(tree).extract, 64, 48)
    found = backbone.feature_extractor.get_weights()
    for array, expected in zip(found, installed.get_weights(), strict=True):
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, expected.astype(np.float16))
        assert not np.array_equal(array, expected)


def test_the_default_is_this_backbone() -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    extractor = backbones.build(check(values).extract, 150, 150).feature_extractor
    assert extractor.output_shape == (None, 4, 4, 128)
    arrays = datasets(drawn_weights.FILE)
    found = {array.tobytes() for array in extractor.get_weights()}
    assert found == {array.astype(np.float32).tobytes() for array in arrays}


def test_the_layers_after_the_cut_have_them_too(tree: dict, installed: "keras.Model") -> None:
    tree["extract"] |= DRAWN | {"cut": "block4_pool"}
    layers = backbones.build(check(tree).extract, 64, 64).trainable_layers
    assert layers is not None
    expected = installed.get_layer("block5_conv3").get_weights()[0].astype(np.float16)
    np.testing.assert_array_equal(layers.get_layer("block5_conv3").get_weights()[0], expected)


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        drawn_weights.write(network(), tmp_path / name)
    drawn_weights.write(network(seed=4), tmp_path / "other")
    written = [(tmp_path / name).read_bytes() for name in ("one", "two", "other")]
    assert written[0] == written[1] != written[2]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e5])
def test_weights_that_half_precision_does_not_have_are_refused(
    tmp_path: Path, value: float
) -> None:
    model = network()
    model.weights[1].assign(np.full(16, value))
    with pytest.raises(SeedlingsError, match="finite and at most 65504, found 16 others"):
        drawn_weights.write(model, tmp_path / "weights")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["", ".sha256"])
def test_missing_and_other_weights_are_refused(
    tree: dict, installed: "keras.Model", missing: str
) -> None:
    tree["extract"] |= DRAWN
    extract = check(tree).extract
    file = drawn_weights.FILE
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"x")
    with pytest.raises(
        SeedlingsError, match=r"(?s)`drawn`: .*expected the sha256 checksum .*install .*`random`"
    ):
        backbones.build(extract, 32, 32)
    file.write_bytes(content)
    backbones.build(extract, 32, 32)
    file.with_name(file.name + missing).unlink()
    with pytest.raises(SeedlingsError, match=r"incomplete package .*; install .*`random`"):
        backbones.build(extract, 32, 32)


@pytest.mark.parametrize(
    "changes",
    [{"width": 1.0}, {"width": 0.5}, {"backbone": "VGG19", "width": 1.0}, {"backbone": "none"}],
)
def test_no_other_network_has_drawn_weights(tree: dict, changes: dict) -> None:
    tree["extract"] |= DRAWN | changes
    with pytest.raises(
        SeedlingsError, match=r"extract\.weights: .* VGG16 with the width 0\.25.*found 'drawn'"
    ):
        check(tree)


@pytest.mark.slow
def test_a_wheel_and_a_source_distribution_contain_them(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "seedlings", source / "seedlings", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    build = "from setuptools.build_meta import *; build_wheel('..'); build_sdist('..')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    expected = drawn_weights.FILE.read_bytes()
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for ending in ("", ".sha256"):
            name = f"seedlings/networks/weights/vgg16_quarter.weights.h5{ending}"
            assert archive.read(name) == (ROOT / name).read_bytes()
    [sdist] = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        [name] = [name for name in archive.getnames() if name.endswith("quarter.weights.h5")]
        member = archive.extractfile(name)
        assert member is not None
        assert member.read() == expected
