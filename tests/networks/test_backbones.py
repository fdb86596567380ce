import hashlib
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from seedlings.errors import SeedlingsError
from seedlings.networks import applications, backbones, models, vgg16
from seedlings.networks.params import Extract
from seedlings.networks.runtime import keras
from seedlings.params import check


@pytest.fixture
def extract(tree: dict[str, Any]) -> Callable[..., Extract]:
    def make(**changes: Any) -> Extract:
        tree["extract"].update(changes)
        return check(tree).extract

    return make


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def reference(name: str, module: Any, images: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """The whole backbone as its documentation uses it."""
    network = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=images.shape[1:]
    )
    network.set_weights(weights)
    return network.predict(module.preprocess_input(images.astype(np.float32)), verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cut", "module"),
    [
        ("VGG16", "block4_pool", keras.applications.vgg16),
        ("MobileNetV2", "block_12_add", keras.applications.mobilenet_v2),
    ],
)
def test_the_two_parts_are_the_backbone_with_its_own_preprocessing(
    name: str, cut: str, module: Any, extract: Callable[..., Extract], images: np.ndarray
) -> None:
    backbone = backbones.build(extract(backbone=name, cut=cut), 32, 32)
    extractor, trainable = backbone.feature_extractor, backbone.trainable_layers
    features = extractor.predict(images, verbose=0)
    weights = extractor.get_weights()
    if trainable:
        features = trainable.predict(features, verbose=0)
        weights = weights + trainable.get_weights()
    expected = reference(name, module, images, weights)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    assert extractor.trainable_weights == []


def test_a_backbone_comes_back_from_disk(
    extract: Callable[..., Extract], images: np.ndarray, tmp_path: Path
) -> None:
    backbone = backbones.build(extract(cut="block4_pool", width=0.25), 32, 32)
    backbones.save(backbone, tmp_path)
    loaded = backbones.load(tmp_path)
    features = backbone.feature_extractor.predict(images, verbose=0)
    assert np.array_equal(loaded.feature_extractor.predict(images, verbose=0), features)
    assert loaded.trainable_layers is not None
    assert np.array_equal(
        loaded.trainable_layers.predict(features, verbose=0),
        backbone.trainable_layers.predict(features, verbose=0),
    )
    assert loaded.feature_extractor.trainable_weights == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "VGG61"}, r"extract\.backbone: .*'VGG61'; similar names are VGG19, VGG16"),
        ({"backbone": "preprocess_input"}, r"extract\.backbone: "),
        ({"cut": "block5_pol"}, r"extract\.cut: .* no layer 'block5_pol'; .*block5_pool"),
        ({"cut": "zzz"}, r"the last of all is block5_pool"),
        ({"last": "block3_pool"}, r"extract\.cut: expected a layer up to block3_pool"),
        ({"last": "block9"}, r"extract\.last: the backbone has no layer 'block9'"),
        ({"backbone": "ResNet50", "cut": "conv4_block6_2_relu"}, r"a shortcut goes around it"),
        ({"cropping": [20, 20, 0, 0]}, r"extract\.cropping: expected less than the 40 x 60 pixels"),
        ({"center_crop": [41, 10]}, r"extract\.center_crop: expected at most 40 x 60 pixels"),
        ({"center_crop": [16, 60]}, r"VGG16 cannot take images of 16 x 60 \(segment\.pixels"),
        ({"center_crop": [31, 60], "width": 0.5}, r"VGG16 cannot take images of 31 x 60"),
    ],
)
def test_what_a_backbone_cannot_be_built_of_is_named(
    changes: dict[str, Any], message: str, extract: Callable[..., Extract]
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        backbones.build(extract(**changes), 40, 60)


def test_weights_that_do_not_fit_are_refused(
    extract: Callable[..., Extract], tmp_path: Path
) -> None:
    path = tmp_path / "quarter.weights.h5"
    vgg16.build((32, 32, 3), 0.25).save_weights(path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(SeedlingsError, match="expected the sha256 checksum"):
        backbones.build(extract(weights=str(path), checksum="0" * 64), 32, 32)
    with pytest.raises(SeedlingsError, match="does not hold the weights of VGG19"):
        backbones.build(extract(backbone="VGG19", weights=str(path), checksum=checksum), 32, 32)


def test_weights_that_cannot_be_had_name_the_two_ways_out(
    extract: Callable[..., Extract], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_network(*arguments: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.config, "get_keras_home", lambda: str(tmp_path), raising=False)
    with pytest.raises(SeedlingsError, match=r"(?s)two ways out: .*path.*checksum.*`random`"):
        backbones.build(
            extract(weights="imagenet", backbone="MobileNet", cut="conv_pw_13_relu"), 32, 32
        )
    with pytest.raises(SeedlingsError, match=r"(?s)a file at gone\.h5.*two ways out"):
        backbones.build(extract(weights="gone.h5", checksum="0" * 64), 32, 32)


@pytest.mark.parametrize(
    ("package", "file", "message"),
    [
        ("absent-weights", "w.pth", "expected the Python package absent-weights, .*requirements"),
        (
            "damaged-weights",
            "w.pth",
            r"(?s)w\.pth with its checksum.*install damaged-weights again",
        ),
        ("damaged-weights", "gone.pth", r"(?s)gone\.pth with its checksum.*install damaged-weigh"),
    ],
)
def test_weights_of_a_package_that_is_absent_or_damaged_name_the_package(
    package: str,
    file: str,
    message: str,
    extract: Callable[..., Extract],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    name = "EfficientNetLite0"
    params = extract(backbone=name, cut=None, weights="imagenet")
    entry = applications.APPLICATIONS[name]
    whole = Path(str(entry.weights["imagenet"].path())).read_bytes()
    (tmp_path / "damaged_weights").mkdir()
    (tmp_path / "damaged_weights" / "__init__.py").touch()
    (tmp_path / "damaged_weights" / "w.pth").write_bytes(whole[:-1] + b"~")
    monkeypatch.syspath_prepend(tmp_path)
    weights = replace(entry.weights["imagenet"], package=package, file=file)
    other = replace(entry, weights={"imagenet": weights})
    monkeypatch.setitem(applications.APPLICATIONS, name, other)
    with pytest.raises(SeedlingsError, match=message):
        backbones.build(params, 32, 32)


@pytest.mark.parametrize("layout", ["Keras 3", "older"])
def test_weights_of_a_file_are_used(
    layout: str, extract: Callable[..., Extract], tmp_path: Path
) -> None:
    """The files that Keras offers are of the older layout: a group a layer, names in attributes."""
    network = vgg16.build((32, 32, 3), 0.25)
    if layout == "Keras 3":
        path = tmp_path / "vgg16.weights.h5"
        network.save_weights(path)
    else:
        path = tmp_path / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
        write_older(network, path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    found = backbones.build(extract(weights=str(path), checksum=checksum, width=0.25), 32, 32)
    for weight, expected in zip(
        found.feature_extractor.get_weights(), network.get_weights(), strict=True
    ):
        assert np.array_equal(weight, expected)


def write_older(network: "keras.Model", path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in network.layers]
        for layer in network.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}_{kind}_1:0" for kind in ("W", "b")[: len(layer.weights)]]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.get_weights(), strict=True):
                group.create_dataset(name, data=weight)


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (1, 40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"scaling": "unit"}, lambda x: x / 255.0),
        ({"scaling": "signed"}, lambda x: x / 127.5 - 1.0),
        ({"scaling": "none"}, lambda x: x),
        ({"grayscale": True, "scaling": "none"}, lambda x: x.mean(axis=-1, keepdims=True)),
        ({"cropping": [5, 3, 2, 1], "scaling": "none"}, lambda x: x[:, 5:-3, 2:-1]),
        ({"center_crop": [20, 30], "scaling": "none"}, lambda x: x[:, 10:30, 15:45]),
    ],
)
def test_from_scratch_the_feature_extractor_is_the_preprocessing_alone(
    changes: dict[str, Any],
    expected: Callable[[np.ndarray], np.ndarray],
    extract: Callable[..., Extract],
    image: np.ndarray,
) -> None:
    backbone = backbones.build(extract(backbone="none", **changes), 40, 60)
    assert backbone.trainable_layers is None
    assert backbone.feature_extractor.count_params() == 0
    found = backbone.feature_extractor.predict(image, verbose=0)
    np.testing.assert_allclose(found, expected(image.astype(float)), rtol=1e-5, atol=1e-6)
    window = tuple(changes["center_crop"]) if "center_crop" in changes else None
    assert backbone.window == window


@pytest.mark.parametrize("last", ["block4_pool", None])
def test_without_a_cut_all_layers_are_frozen(
    last: str | None, extract: Callable[..., Extract]
) -> None:
    whole = backbones.build(extract(cut=None, last=last), 32, 32)
    assert whole.trainable_layers is None
    height = {"block4_pool": 2, None: 1}[last]
    assert whole.feature_extractor.output_shape == (None, height, height, 512)


@pytest.mark.parametrize(
    ("backbone", "layers", "more"),
    [
        ("VGG16", ["block2_pool", "block5_pool", "block3_conv1"], {"width": 0.25}),
        ("EfficientNetLite0", ["block3_expand_relu", "block4_add", "head_relu"], {}),
        ("MobileNetV2", ["block_5_add"], {}),
    ],
)
def test_pooled_features_are_the_means_over_places_of_the_maps_side_by_side(
    backbone: str,
    layers: list[str],
    more: dict[str, Any],
    extract: Callable[..., Extract],
    images: np.ndarray,
) -> None:
    params = extract(backbone=backbone, cut=None, pooling="average", layers=layers, **more)
    pooled = backbones.build(params, 32, 32)
    assert pooled.is_pooled
    assert pooled.trainable_layers is None
    assert pooled.feature_extractor.trainable_weights == []
    found = pooled.feature_extractor.predict(images, verbose=0)
    network = applications.find(backbone)
    whole = network.build((32, 32, 3), params.width, None)
    below = pooled.feature_extractor.get_layer("below")
    for layer in filter(lambda layer: layer.weights, below.layers):
        whole.get_layer(layer.name).set_weights(layer.get_weights())
    outputs = [whole.get_layer(name).output for name in layers]
    pixels = network.preprocess(images.astype(np.float32))
    maps = [np.asarray(keras.Model(whole.input, output)(pixels)) for output in outputs]
    expected = np.concatenate([values.mean(axis=(1, 2)) for values in maps], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_pooled_layers_are_by_default_those_of_the_network(
    extract: Callable[..., Extract],
) -> None:
    changes = {"pooling": "average", "cut": None, "width": 0.25}
    default = backbones.build(extract(**changes), 32, 32)
    assert default.feature_extractor.output_shape == (None, 32 + 64 + 128 + 128)
    shorter = backbones.build(extract(last="block3_pool", **changes), 32, 32)
    assert shorter.feature_extractor.output_shape == (None, 64)
    mobile = {"backbone": "MobileNet", "width": 1.0, "last": None}
    other = backbones.build(extract(**changes | mobile), 32, 32)
    assert other.feature_extractor.output_shape == (None, 1024)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ["block5_pool"]}, r"extract: .*layers null with pooling `none`"),
        ({"pooling": "average", "backbone": "none"}, r"pooling `none` with backbone `none`"),
        (
            {"pooling": "average", "layers": ["block2_pool"], "last": "block4_pool"},
            r"last null with layers, which say where it ends, found block4_pool",
        ),
        ({"pooling": "average", "layers": ["a", "a"]}, r"layers that differ, found \['a', 'a'\]"),
        ({"pooling": "average", "layers": []}, r"extract\.layers: "),
    ],
)
def test_layers_that_would_not_be_used_are_refused(
    changes: dict[str, Any], message: str, extract: Callable[..., Extract]
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        extract(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ["block5_pol"]}, r"extract\.layers: .* no layer 'block5_pol'; .*block5_pool"),
        ({"cut": "block9"}, r"extract\.cut: the backbone has no layer 'block9'"),
        ({"last": "block9"}, r"extract\.last: the backbone has no layer 'block9'"),
    ],
)
def test_a_pooled_layer_that_a_network_does_not_have_is_named(
    changes: dict[str, Any], message: str, extract: Callable[..., Extract]
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        backbones.build(extract(pooling="average", width=0.25, **changes), 32, 32)


@pytest.mark.parametrize(
    ("cut", "trained"),
    [("block4_pool", 3), ("block5_conv3", None), ("block5_pool", None), (None, 13)],
)
def test_the_layers_of_pooled_features_after_the_cut_are_unfrozen(
    cut: str | None, trained: int | None, extract: Callable[..., Extract]
) -> None:
    params = extract(pooling="average", width=0.25, cut=cut)
    extractor = backbones.build(params, 32, 32).feature_extractor
    if trained is None:
        with pytest.raises(
            SeedlingsError, match=r"extract\.cut to a layer before block5_pool.*null"
        ):
            backbones.unfreeze(extractor, cut)
        return
    backbones.unfreeze(extractor, cut)
    names = [weight.path.split("/")[-2] for weight in extractor.trainable_weights]
    convolutions = [layer.name for layer in extractor.get_layer("below").layers if layer.weights]
    assert list(dict.fromkeys(names)) == convolutions[-trained:]


def test_unfrozen_layers_leave_batch_normalisation_frozen_and_stay_unfrozen_on_disk(
    extract: Callable[..., Extract], tmp_path: Path
) -> None:
    params = extract(backbone="EfficientNetLite0", pooling="average", cut=None)
    extractor = backbones.build(params, 32, 32).feature_extractor
    backbones.unfreeze(extractor, "block10_add")
    kernels = [weight.path for weight in extractor.trainable_weights]
    assert len(kernels) == 4 * 3 + 3 + 1  # of the blocks 11 to 14, 15, and the head
    assert not [path for path in kernels if "_bn" in path]
    models.save(extractor, tmp_path / "m")
    assert len(models.load(tmp_path / "m").trainable_weights) > 0
    extractor.trainable = False
    models.save(extractor, tmp_path / "m")
    assert models.load(tmp_path / "m").trainable_weights == []


def test_layers_can_be_taken_off_a_backbone(extract: Callable[..., Extract]) -> None:
    short = backbones.build(extract(last="block4_pool", cut="block3_pool"), 32, 32)
    assert short.trainable_layers.layers[-1].name == "block4_pool"
    block4 = (9 * 256 * 512 + 512) + 2 * (9 * 512 * 512 + 512)
    assert short.trainable_layers.count_params() == block4
    assert (
        backbones.build(extract(last="block4_pool", cut="block4_pool"), 32, 32).trainable_layers
        is None
    )
