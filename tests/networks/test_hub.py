"""Networks of KerasHub. Those that need it are skipped without it; `make test-hub` runs them."""

import hashlib
import json
import re
import shutil
import socket
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imports import ROOT
from project import Project

from seedlings.config import paths
from seedlings.errors import SeedlingsError
from seedlings.io import split_table
from seedlings.networks import architectures, backbones, hub, models
from seedlings.networks.params import Extract
from seedlings.networks.runtime import keras
from seedlings.params import check

try:
    import keras_hub
except ImportError:
    keras_hub = None
needs_hub = pytest.mark.skipif(keras_hub is None, reason="needs keras-hub: `make test-hub`")

SIDE = 28
SCALE, OFFSET = [0.02, 0.03, 0.04], [-0.1, -0.2, -0.3]
COMMAND = re.search(r"^ +(\(cd .*sha256sum\))$", (ROOT / "docs/backbones.md").read_text(), re.M)
VIT = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16}
# The class of the network, its options, and its tokens that have no place.
NETWORKS: dict[str, tuple[str, dict[str, Any], int]] = {
    "ViT": ("ViT", {**VIT, "patch_size": 14, "mlp_dim": 32}, 1),
    "DeiT": ("DeiT", {**VIT, "patch_size": 14, "intermediate_dim": 32}, 2),
    "DINOv2": (
        "DINOV2",
        {
            **VIT,
            "patch_size": 14,
            "intermediate_dim": 32,
            "num_register_tokens": 4,
            "position_embedding_shape": (70, 70, 3),
        },
        5,
    ),
    "DINOv3": ("DINOV3", {**VIT, "patch_size": 14, "intermediate_dim": 32}, 5),
    "Swin": (
        "SwinTransformer",
        {
            "embed_dim": 8,
            "depths": (1, 1),
            "num_heads": (1, 2),
            "window_size": 7,
            "patch_size": 2,
        },
        0,
    ),
    "ResNet": (
        "ResNet",
        {
            "input_conv_filters": [64],
            "input_conv_kernel_sizes": [3],
            "stackwise_num_filters": [64, 8],
            "stackwise_num_blocks": [1, 1],
            "stackwise_num_strides": [1, 2],
            "block_type": "basic_block",
        },
        0,
    ),
    "EfficientNet": (
        "EfficientNet",
        {
            "stackwise_width_coefficients": [0.5] * 2,
            "stackwise_depth_coefficients": [0.5] * 2,
            "stackwise_kernel_sizes": [3, 3],
            "stackwise_num_repeats": [1, 1],
            "stackwise_input_filters": [16, 16],
            "stackwise_output_filters": [16, 24],
            "stackwise_expansion_ratios": [1, 4],
            "stackwise_squeeze_and_excite_ratios": [0.25, 0.25],
            "stackwise_strides": [1, 2],
            "stackwise_block_types": ["unfused", "fused"],
        },
        0,
    ),
}


def checksum(folder: Path) -> str:
    """The checksum that the command in the documentation prints."""
    assert COMMAND
    command = COMMAND[1].replace("PATH", str(folder))
    done = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True)
    return f"sha256:{done.stdout.split()[0]}"


@pytest.fixture
def preset(tmp_path: Path) -> Callable[..., Path]:
    """Save a preset of a small network with random weights, in a new folder."""

    def save(name: str = "ViT", **changes: Any) -> Path:
        kind, options, _ = NETWORKS[name]
        keras.utils.set_random_seed(1)
        make = getattr(keras_hub.models, f"{kind}Backbone")
        network = make(**{"image_shape": (SIDE, SIDE, 3), **options, **changes})
        converter = getattr(keras_hub.layers, f"{kind}ImageConverter")
        folder = tmp_path / f"preset-{name}"
        network.save_to_preset(folder)
        converter(image_size=(SIDE, SIDE), scale=SCALE, offset=OFFSET).save_to_preset(folder)
        return folder

    return save


@pytest.fixture
def extract(tree: dict[str, Any]) -> Callable[..., Extract]:
    def make(preset: Path | str, **changes: Any) -> Extract:
        sums = {"checksum": checksum(preset)} if isinstance(preset, Path) else {}
        own = {"backbone": f"hub:{preset}", "cut": None, "pooling": "average", "weights": "preset"}
        tree["extract"] |= {**own, **sums, **changes}
        tree["portable"] = False
        return check(tree).extract

    return make


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like that of a preset."""
    (tmp_path / "preset" / "assets").mkdir(parents=True)
    for name in ("config.json", "a b.json", "assets/B.txt", "assets.txt", "model.weights.h5"):
        (tmp_path / "preset" / name).write_text(f"{name}\n")
    return tmp_path / "preset"


def test_the_version_is_that_of_the_lock() -> None:
    pins = re.findall(r"^keras-hub==(\S+)", (ROOT / "requirements-hub.lock").read_text(), re.M)
    assert pins == [hub.VERSION]


def test_without_the_package_an_error_says_how_to_install_it(
    extract: Callable[..., Extract], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    message = r"expected the package keras-hub 0\.\S+, .* found none .*make \.venv/hub"
    with pytest.raises(SeedlingsError, match=message):
        backbones.build(extract("dinov2_small"), SIDE, SIDE)


def test_another_version_of_the_package_is_refused(
    extract: Callable[..., Extract], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = types.ModuleType("keras_hub")
    other.__version__ = "0.1"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keras_hub", other)
    with pytest.raises(SeedlingsError, match=r"keras-hub 0\.\S+, found 0\.1, .*other features"):
        backbones.build(extract("dinov2_small"), SIDE, SIDE)


def test_a_saved_model_says_that_it_needs_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    models.save(plain, tmp_path / "m")
    path = tmp_path / "m" / "model.json"
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    assert models.load(tmp_path / "m").count_params() == 3
    text = path.read_text()
    path.write_text(text.replace('"registered_name": null', '"registered_name": "keras_hub>X"'))
    with pytest.raises(SeedlingsError, match=r"expected the package keras-hub"):
        models.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "hub:./a"}, r"a checksum of the files in the folder a, .*backbones\.md"),
        ({"backbone": "hub:/a/b"}, r"a checksum of the files in the folder /a/b"),
        (
            {"backbone": "hub:dinov2_small", "checksum": "0" * 64},
            r"checksum null, as hub:dinov2_small is no folder, .*hub:\./preset",
        ),
        (
            {"backbone": "hub:hf://a/b", "checksum": "0" * 64},
            r"checksum null, as hub:hf://a/b is no folder",
        ),
        (
            {"backbone": "hub:dinov2_small", "weights": "imagenet"},
            r"weights random, preset, as a preset has no others, found 'imagenet' with hub:dino",
        ),
        (
            {"backbone": "hub:dinov2_small", "weights": "/w.h5", "checksum": "0" * 64},
            r"weights random, preset, as a preset has no others, found '/w\.h5'",
        ),
        ({"backbone": "hub:dinov2_small", "width": 0.5}, "width 1.0, as hub:dinov2_small has no"),
    ],
)
def test_parameters_that_do_not_fit_a_preset_are_refused(
    changes: dict[str, Any], message: str, tree: dict[str, Any]
) -> None:
    tree["portable"] = False
    tree["extract"] |= {"weights": "preset", **changes}
    with pytest.raises(SeedlingsError, match=message):
        check(tree)


@pytest.mark.parametrize(
    ("portable", "precision", "message"),
    [
        (True, "float32", r"`portable: false` with .* hub:dinov2_small, .*processor, found true"),
        (False, "auto", r"finetune\.precision `float32` with .* hub:dinov2_small, .*found auto"),
    ],
)
def test_a_preset_requires_settings_that_its_layers_have(
    portable: bool, precision: str, message: str, tree: dict[str, Any]
) -> None:
    tree["portable"], tree["finetune"]["precision"] = portable, precision
    tree["extract"] |= {"backbone": "hub:dinov2_small", "weights": "preset"}
    with pytest.raises(SeedlingsError, match=message):
        check(tree)


def test_a_folder_with_the_checksum_of_the_documentation_is_accepted(folder: Path) -> None:
    hub.verify(str(folder), checksum(folder))
    names = ["a b.json", "assets.txt", "assets/B.txt", "config.json", "model.weights.h5"]
    sums = [hashlib.md5(f"{name}\n".encode()).hexdigest() for name in names]
    lines = "".join(f"{sum_}  {name}\n" for sum_, name in zip(sums, names, strict=True))
    hub.verify(str(folder), f"md5:{hashlib.md5(lines.encode()).hexdigest()}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"extract\.backbone: .*no config\.json; the path"),
        (shutil.rmtree, r"extract\.backbone: .*no config\.json; the path"),
        (lambda f: (f / "a b.json").write_text("!"), r"extract\.checksum: expected .*found .*dama"),
        (lambda f: (f / "assets/B.txt").unlink(), r"extract\.checksum: expected .*found .*missing"),
        (lambda f: (f / "new").write_text("!"), r"extract\.checksum: expected .*found .*added"),
        (
            lambda f: (f / "assets.txt").rename(f / "other.txt"),
            r"extract\.checksum: expected .*found .*another preset",
        ),
    ],
)
def test_a_folder_that_has_changed_is_refused(
    damage: Callable[[Path], Any], message: str, folder: Path, extract: Callable[..., Extract]
) -> None:
    params = extract(folder)
    damage(folder)
    with pytest.raises(SeedlingsError, match=message):
        backbones.build(params, SIDE, SIDE)


@needs_hub
@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_the_means_over_the_patches_of_what_keras_hub_returns(
    name: str, preset: Callable[..., Path], extract: Callable[..., Extract], images: np.ndarray
) -> None:
    folder = preset(name)
    extractor = backbones.build(extract(folder), SIDE, SIDE).feature_extractor
    pixels = keras_hub.layers.ImageConverter.from_preset(str(folder))(images.astype(np.float32))
    network = keras_hub.models.Backbone.from_preset(str(folder), image_shape=(SIDE, SIDE, 3))
    named = isinstance(network.input, dict)
    outputs = np.asarray(network(dict.fromkeys(network.input, pixels) if named else pixels))
    places = outputs.reshape(len(images), -1, outputs.shape[-1])[:, NETWORKS[name][2] :]
    np.testing.assert_allclose(extractor(images), places.mean(axis=1), rtol=1e-5, atol=1e-6)
    assert extractor.trainable_weights == []


@needs_hub
def test_tokens_are_at_the_places_of_their_patches(
    preset: Callable[..., Path], images: np.ndarray
) -> None:
    """Without layers after the embedding, a token changes with the pixels of its patch alone."""
    folder = preset("ViT", num_layers=0, image_shape=(28, 42, 3))
    network = hub.build(str(folder), (28, 42, 3), pretrained=True)
    before = np.zeros((1, 28, 42, 3), np.float32)
    after = before.copy()
    after[0, 14:28, 28:42] = 1.0
    changed = np.abs(np.asarray(network(after)) - np.asarray(network(before))).max(axis=-1)[0]
    assert (changed > 1e-3).tolist() == [[False, False, False], [False, False, True]]


@needs_hub
def test_random_weights_are_not_those_of_the_preset(
    preset: Callable[..., Path], extract: Callable[..., Extract], images: np.ndarray
) -> None:
    folder = preset()
    keras.utils.set_random_seed(2)
    found = backbones.build(extract(folder, weights="random"), SIDE, SIDE).feature_extractor
    own = backbones.build(extract(folder), SIDE, SIDE).feature_extractor
    assert not np.allclose(found(images), own(images), atol=1e-2)


@needs_hub
@pytest.mark.slow
def test_a_saved_backbone_computes_the_same_in_another_process(
    preset: Callable[..., Path],
    extract: Callable[..., Extract],
    images: np.ndarray,
    tmp_path: Path,
) -> None:
    backbone = backbones.build(extract(preset("DINOv2")), SIDE, SIDE)
    backbones.save(backbone, tmp_path / "saved")
    np.save(tmp_path / "images.npy", images)
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from seedlings.networks import backbones\n"
        "assert 'keras_hub' not in sys.modules\n"
        "extractor = backbones.load(Path('saved')).feature_extractor\n"
        "np.save('found.npy', extractor(np.load('images.npy')))\n"
    )
    options: dict[str, Any] = {"cwd": tmp_path, "check": True, "capture_output": True}
    subprocess.run([sys.executable, "-c", script], **options)
    found = np.load(tmp_path / "found.npy")
    np.testing.assert_allclose(found, backbone.feature_extractor(images), rtol=1e-5, atol=1e-6)


@needs_hub
@pytest.mark.parametrize("name", ["DINOv2", "DINOv3", "EfficientNet"])
def test_unfrozen_layers_train_but_batch_normalisation_and_are_the_same_on_disk(
    name: str,
    preset: Callable[..., Path],
    extract: Callable[..., Extract],
    images: np.ndarray,
    tmp_path: Path,
) -> None:
    backbone = backbones.build(extract(preset(name)), SIDE, SIDE)
    extractor = backbone.feature_extractor
    backbones.unfreeze(extractor, None)
    statistics = [w.numpy() for w in extractor.non_trainable_weights]
    before = np.asarray(extractor(images, training=False))
    head = keras.Sequential([keras.Input(before.shape[1:]), keras.layers.Dense(2)])
    model = architectures.assemble(extractor, head)
    model.compile("sgd", "mse")
    model.fit(images, np.ones((3, 2)), epochs=1, verbose=0)
    for weight, value in zip(extractor.non_trainable_weights, statistics, strict=True):
        assert np.array_equal(weight, value)
    trained = np.asarray(extractor(images, training=False))
    assert np.abs(trained - before).max() > 1e-5
    models.save(extractor, tmp_path / "m")
    loaded = models.load(tmp_path / "m")
    np.testing.assert_allclose(loaded(images, training=False), trained, rtol=1e-5, atol=1e-6)


@needs_hub
@pytest.mark.parametrize(
    ("name", "side", "changes", "message"),
    [
        ("ViT", 28, {"pooling": "none"}, r"extract\.pooling: expected average, .*found none"),
        (
            "ViT",
            28,
            {"layers": ["patch_tokens"]},
            r"extract\.layers: expected a layer that returns maps.*patch_tokens.*\(None, 4, 16\)",
        ),
        ("ViT", 28, {"cut": "block5_pool"}, r"extract\.cut: .* no layer 'block5_pool'"),
        ("ViT", 30, {}, r"images of 30 x 30 \(segment\.pixels\).*own size \(28 x 28\)"),
        ("ViT", 42, {}, r"images of 42 x 42 \(segment\.pixels\).*own size \(28 x 28\)"),
    ],
)
def test_a_layer_or_a_size_that_a_network_does_not_have_is_refused(
    name: str,
    side: int,
    changes: dict[str, Any],
    message: str,
    preset: Callable[..., Path],
    extract: Callable[..., Extract],
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        backbones.build(extract(preset(name), **changes), side, side)


@needs_hub
def test_a_network_of_maps_can_be_taken_without_pooling(
    preset: Callable[..., Path], extract: Callable[..., Extract]
) -> None:
    backbone = backbones.build(extract(preset("ResNet"), pooling="none"), SIDE, SIDE)
    assert backbone.feature_extractor.output_shape == (None, 4, 4, 8)
    assert backbone.trainable_layers is None


@needs_hub
def test_dinov2_takes_images_of_another_size(
    preset: Callable[..., Path], extract: Callable[..., Extract]
) -> None:
    backbone = backbones.build(extract(preset("DINOv2")), 56, 56)
    assert backbone.feature_extractor.get_layer("below").output_shape == (None, 4, 4, 16)


@needs_hub
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "image_converter.json").unlink(), r"lack its image converter"),
        (lambda f: (f / "config.json").write_text("{}"), r"preset of texts, or lack"),
        (lambda f: (f / "config.json").write_text("no JSON"), r"JSONDecodeError"),
        (lambda f: (f / "model.weights.h5").unlink(), r"model\.weights\.json.* doesn't exist"),
        (lambda f: (f / "model.weights.h5").write_text("no HDF5"), r"preset-ViT.*signature"),
    ],
)
def test_a_folder_that_is_no_preset_of_images_is_refused(
    damage: Callable[[Path], Any],
    message: str,
    preset: Callable[..., Path],
    extract: Callable[..., Extract],
) -> None:
    folder = preset()
    damage(folder)
    with pytest.raises(SeedlingsError, match=rf"extract\.backbone: .*{message}"):
        backbones.build(extract(folder), SIDE, SIDE)


@needs_hub
def test_a_preset_of_texts_is_refused(tmp_path: Path, extract: Callable[..., Extract]) -> None:
    text = keras_hub.models.BertBackbone(
        vocabulary_size=9, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4
    )
    text.save_to_preset(tmp_path / "bert")
    with pytest.raises(SeedlingsError, match=r"expected a preset of an image network.*of texts"):
        backbones.build(extract(tmp_path / "bert"), SIDE, SIDE)


@needs_hub
def test_a_preset_of_an_unknown_class_executes_nothing(
    preset: Callable[..., Path], extract: Callable[..., Extract]
) -> None:
    folder = preset()
    config = json.loads((folder / "config.json").read_text())
    config |= {"module": "os", "class_name": "system", "registered_name": "system"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SeedlingsError, match=r"no class registered with Keras for system"):
        backbones.build(extract(folder), SIDE, SIDE)


@needs_hub
def test_an_unknown_name_is_refused_with_similar_ones(extract: Callable[..., Extract]) -> None:
    message = r"'dinov2_smal'; similar names are dinov2_small, .*hub:\./dinov2_smal"
    with pytest.raises(SeedlingsError, match=message):
        backbones.build(extract("dinov2_smal"), SIDE, SIDE)


@needs_hub
@pytest.mark.parametrize("name", ["dinov2_small", "kaggle://keras/vit/keras/none/1"])
def test_without_a_network_a_hub_is_refused_with_the_way_out(
    name: str,
    extract: Callable[..., Extract],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def no_network(*arguments: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    with pytest.raises(SeedlingsError, match=r"there may be no network.*use a folder: hub:PATH"):
        backbones.build(extract(name), SIDE, SIDE)


@needs_hub
@pytest.mark.slow
def test_a_packaged_model_with_a_preset_predicts_what_was_evaluated(
    preset: Callable[..., Path], new_project: Callable[..., Project]
) -> None:
    project = new_project()
    folder = preset("DINOv2")
    project.shrink(
        portable=False,
        segment__pixels=[SIDE, SIDE],
        extract__backbone=f"hub:{folder}",
        extract__checksum=checksum(folder),
        extract__cut=None,
        extract__layers=None,
        extract__width=1.0,
        extract__weights="preset",
        finetune__unfreeze__epochs=1,
    )
    project.run_stages("explain")
    outputs = np.load(project.root / paths.OUTPUTS)
    table = split_table.read(project.root / paths.SPLIT)
    files = table["path"].iloc[split_table.rows(table, "test")].head(3)
    images = [str(project.root / paths.RAW / file) for file in files]
    printed = project.run("seedlings", "predict", *images, "--json")
    answers = json.loads(printed[printed.index("[\n") :])
    found = [answer["probability"] for answer in answers]
    np.testing.assert_allclose(found, outputs[:3].max(axis=1), atol=1e-5)
