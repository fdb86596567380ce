import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from imports import ROOT

from seedlings.errors import SeedlingsError
from seedlings.networks import applications, backbones
from seedlings.networks.runtime import keras
from seedlings.params import check

SYNTHETIC = applications.APPLICATIONS["VGG16"].weights["synthetic"]
FILE = Path(str(SYNTHETIC.file))


def datasets(path: Path) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    with h5py.File(path) as file:
        file.visititems(lambda _, o: found.append(o[()]) if isinstance(o, h5py.Dataset) else None)
    return found


def test_every_network_of_keras_has_its_function_and_its_preprocessing() -> None:
    for name in filter(lambda name: name[0].isupper(), dir(keras.applications)):
        function = applications._function(name)
        assert function.__name__ == name
        assert callable(sys.modules[function.__module__].preprocess_input)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("VGG16", 0.0), ("DenseNet121", 1e-6), ("MobileNetV2", 1e-6), ("ConvNeXtTiny", 0.0)],
)
def test_the_preprocessing_of_keras_is_a_layer_without_tensors(
    name: str, tolerance: float, rng: np.random.Generator
) -> None:
    inputs = keras.Input((5, 6, 3))
    model = keras.Model(inputs, applications.find(name).preprocess(inputs))
    assert "__tensor__" not in model.to_json()
    images = rng.uniform(0, 255, (4, 5, 6, 3)).astype(np.float32)
    module = sys.modules[applications._function(name).__module__]
    expected = module.preprocess_input(keras.ops.convert_to_tensor(images))
    np.testing.assert_allclose(model(images), expected, rtol=0, atol=tolerance)


def test_both_parts_of_the_default_backbone_have_the_synthetic_weights() -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["extract"].update(cut="block4_pool", pooling="none")
    backbone = backbones.build(check(values).extract, 150, 150)
    extractor, rest = backbone.feature_extractor, backbone.trainable_layers
    assert rest is not None
    assert (extractor.output_shape, rest.output_shape) == ((None, 9, 9, 128), (None, 4, 4, 128))
    found = {array.tobytes() for array in extractor.get_weights() + rest.get_weights()}
    assert found == {array.astype(np.float32).tobytes() for array in datasets(FILE)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0.5}, "width 0.25 with the weights `synthetic`, found 0.5"),
        ({"width": 0.25, "weights": "imagenet"}, "width 1.0 with the weights `imagenet`, found"),
        ({"backbone": "VGG19"}, "weights random, imagenet, or .*VGG19 has no others, found 'synth"),
        ({"backbone": "none"}, "weights random, .*, as none has no others, found 'synthetic'"),
        ({"backbone": "ResNet50", "width": 0.5}, "width 1.0, as ResNet50 has no other widths"),
        ({"weights": "mine.weights.h5"}, "a checksum of the weights 'mine.weights.h5'"),
        ({"width": 0}, r"extract\.width"),
    ],
)
def test_weights_and_widths_that_a_network_does_not_have_are_refused(
    changes: dict[str, Any], message: str, tree: dict[str, Any]
) -> None:
    tree["extract"] |= {"weights": "synthetic", **changes}
    with pytest.raises(SeedlingsError, match=message):
        check(tree)


@pytest.mark.slow
def test_a_wheel_and_a_source_distribution_contain_the_weights(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "seedlings", source / "seedlings", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    build = "from setuptools.build_meta import *; build_wheel('..'); build_sdist('..')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(FILE.relative_to(ROOT).as_posix()) == FILE.read_bytes()
    [sdist] = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        [name] = [name for name in archive.getnames() if name.endswith(FILE.name)]
        member = archive.extractfile(name)
        assert member is not None
        assert member.read() == FILE.read_bytes()
