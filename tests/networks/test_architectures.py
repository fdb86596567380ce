from collections.abc import Callable
from typing import Any

import assembly
import numpy as np
import pytest

from seedlings.errors import SeedlingsError
from seedlings.networks import architectures, backbones, models
from seedlings.networks.backbones import Backbone
from seedlings.networks.runtime import keras
from seedlings.params import check
from seedlings.tasks import TASKS
from seedlings.training.params import Finetune

TASK = TASKS["multiclass"]


@pytest.fixture
def finetune(tree: dict[str, Any]) -> Callable[..., Finetune]:
    def make(unfreeze: int = 0, convnet: dict[str, Any] | None = None, **head: Any) -> Finetune:
        tree["finetune"]["head"].update(head)
        tree["finetune"]["convnet"].update(convnet or {})
        tree["finetune"]["unfreeze"]["epochs"] = unfreeze
        return check(tree).finetune

    return make


@pytest.fixture
def backbone(tree: dict[str, Any]) -> Callable[..., Backbone]:
    def make(cut: str = "block5_pool", size: int = 32) -> Backbone:
        tree["extract"]["cut"] = cut
        return backbones.build(check(tree).extract, size, size)

    return make


def test_the_baseline_is_a_logistic_regression_on_pixels(rng: np.random.Generator) -> None:
    mean, scale = [10.0, 120.5, 200.0], 0.01
    model = architectures.baseline((4, 5, 3), 12, TASK, mean=mean, scale=scale)
    images = rng.integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)
    kernel, bias = model.get_weights()
    scores = ((images - mean) * scale).reshape(7, -1) @ kernel + bias
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-4)


def test_the_head_follows_its_parameters(
    backbone: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    params = finetune(pooling="max", dropout=0.25, dense=[7])
    head = assembly.head(backbone(), 5, TASK, params)
    assert head.get_layer("dropout").rate == 0.25
    assert [layer.units for layer in head.layers if hasattr(layer, "units")] == [7, 5]
    assert type(head.get_layer("pooling")).__name__ == "GlobalMaxPooling2D"
    plain = assembly.head(
        backbone(), 5, TASK, finetune(batch_normalization=False, dropout=0.0, dense=[])
    )
    names = [layer.name for layer in plain.layers]
    assert names == ["features", "pooling", "output"]


def test_the_head_has_the_trainable_layers_only_if_they_are_unfrozen(
    backbone: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    cut = backbone("block4_pool")
    block5 = 3 * (3 * 3 * 512 * 512 + 512)
    without = assembly.head(cut, 5, TASK, finetune()).count_params()
    assert assembly.head(cut, 5, TASK, finetune(unfreeze=1)).count_params() == without + block5


def test_a_head_on_pooled_features_scales_them_and_pools_nothing(
    tree: dict[str, Any], finetune: Callable[..., Finetune], rng: np.random.Generator
) -> None:
    tree["extract"] |= {"pooling": "average", "layers": ["block3_pool"], "width": 0.25}
    parts = backbones.build(check(tree).extract, 32, 32)
    own = finetune(batch_normalization=False, dropout=0.0, unfreeze=1)
    scale, offset = rng.normal(size=(2, 64)).astype(np.float32).tolist()
    head = architectures.head(
        parts,
        5,
        TASK,
        convnet=own.convnet,
        params=own.head,
        regularization=own.regularization,
        unfreezes=True,
        scaling=(scale, offset),
    )
    assert [layer.name for layer in head.layers] == ["features", "standardization", "output"]
    features = rng.normal(size=(7, 64)).astype(np.float32)
    kernel, bias = head.get_weights()
    scores = (features * scale + offset) @ kernel + bias
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(head.predict(features, verbose=0), expected, rtol=1e-4)


def test_unfreezing_a_backbone_without_trainable_layers_is_an_error(
    backbone: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    with pytest.raises(
        SeedlingsError, match=r"finetune\.unfreeze\.epochs: expected 0.*cut at an earlier"
    ):
        assembly.head(backbone(), 5, TASK, finetune(unfreeze=2))


@pytest.mark.slow
@pytest.mark.parametrize(("cut", "unfreeze"), [("block5_pool", 0), ("block4_pool", 1)])
def test_the_whole_model_is_the_head_on_the_extracted_features(
    cut: str,
    unfreeze: int,
    backbone: Callable[..., Backbone],
    finetune: Callable[..., Finetune],
    rng: np.random.Generator,
) -> None:
    parts = backbone(cut)
    head = assembly.head(parts, 5, TASK, finetune(unfreeze=unfreeze))
    whole = architectures.assemble(parts.feature_extractor, head)
    images = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    features = models.compiled(parts.feature_extractor)(images)
    np.testing.assert_allclose(
        whole.predict(images, verbose=0), head.predict(features, verbose=0), atol=1e-6
    )
    assert np.allclose(whole.predict(images, verbose=0).sum(axis=1), 1.0, atol=1e-5)


@pytest.fixture
def scratch(tree: dict[str, Any]) -> Callable[..., Backbone]:
    def make(height: int, width: int, **changes: Any) -> Backbone:
        tree["extract"] |= {"backbone": "none", **changes}
        return backbones.build(check(tree).extract, height, width)

    return make


PLAIN_HEAD = {"pooling": "flatten", "batch_normalization": False, "dropout": 0.0}


def test_the_horse_or_human_network_has_the_weights_of_its_layers(
    scratch: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    parts = scratch(300, 300)
    params = finetune(convnet={"filters": [16, 32, 64]}, dense=[512], **PLAIN_HEAD)
    head = assembly.head(parts, 1, TASKS["binary"], params)
    convolutions = (27 * 16 + 16) + (9 * 16 * 32 + 32) + (9 * 32 * 64 + 64)
    dense = (35 * 35 * 64 * 512 + 512) + (512 + 1)
    whole = architectures.assemble(parts.feature_extractor, head)
    assert whole.count_params() == convolutions + dense
    assert head.layers[-1].activation is keras.activations.sigmoid


@pytest.mark.parametrize(
    ("convnet", "expected"),
    [
        ({"dropout": 0.2}, "Conv2D Activation MaxPooling2D Dropout"),
        (
            {"batch_normalization": "after_pool"},
            "Conv2D Activation MaxPooling2D BatchNormalization",
        ),
        (
            {"batch_normalization": "after_convolution", "pool": 1},
            "Conv2D BatchNormalization Activation",
        ),
        ({"stem_filters": [4]}, "Conv2D Activation Conv2D Activation MaxPooling2D"),
    ],
)
def test_a_convnet_has_the_layers_that_its_parameters_name(
    convnet: dict[str, Any],
    expected: str,
    scratch: Callable[..., Backbone],
    finetune: Callable[..., Finetune],
) -> None:
    params = finetune(convnet={"filters": [3], **convnet}, **PLAIN_HEAD)
    head = assembly.head(scratch(28, 28), 10, TASK, params)
    assert [type(layer).__name__ for layer in head.layers[1:-2]] == expected.split()


def test_residual_blocks_add_their_input(
    scratch: Callable[..., Backbone],
    finetune: Callable[..., Finetune],
    rng: np.random.Generator,
) -> None:
    params = finetune(
        convnet={"filters": [3], "residual": True, "padding": "same"},
        pooling="average",
        batch_normalization=False,
        dropout=0.0,
    )
    head = assembly.head(scratch(8, 8), 2, TASK, params)
    for layer in head.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    features = rng.random((2, 8, 8, 3)).astype(np.float32)
    pooled = keras.Model(head.input, head.get_layer("pooling").output)
    np.testing.assert_allclose(
        pooled.predict(features, verbose=0), features.mean(axis=(1, 2)), rtol=1e-5
    )


@pytest.mark.parametrize("part", ["kernel", "bias", "activity"])
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_penalties_apply_to_the_parts_that_name_them(
    part: str,
    norm: str,
    tree: dict[str, Any],
    scratch: Callable[..., Backbone],
    finetune: Callable[..., Finetune],
) -> None:
    tree["finetune"]["regularization"][part][norm] = 0.01
    params = finetune(convnet={"filters": [2]}, dense=[3], **PLAIN_HEAD)
    head = assembly.head(scratch(8, 8), 2, TASK, params)
    layers = [layer for layer in head.layers if layer.weights]
    assert len(layers) == 3
    for layer in layers:
        for other in ("kernel", "bias", "activity"):
            found = getattr(layer, f"{other}_regularizer")
            assert (found is not None) == (other == part)
        penalty = getattr(layer, f"{part}_regularizer")
        assert float(getattr(penalty, norm)) == pytest.approx(0.01)


def test_too_many_blocks_are_an_error(
    scratch: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    with pytest.raises(SeedlingsError, match=r"finetune\.convnet: .*found 1 x 1"):
        assembly.head(scratch(28, 28), 2, TASK, finetune(convnet={"filters": [2] * 5}))
