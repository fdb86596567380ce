from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from seedlings import backbones, models, networks
from seedlings.backbones import Backbone
from seedlings.errors import SeedlingsError
from seedlings.params import Finetune, check
from seedlings.runtime import keras
from seedlings.tasks import TASKS

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
    model = networks.baseline((4, 5, 3), 12, TASK)
    images = rng.integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)
    kernel, bias = model.get_weights()
    scores = images.reshape(7, -1) / 255.0 @ kernel + bias
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-5)


def test_the_chapters_head_has_its_published_number_of_weights(
    backbone: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    head = finetune(pooling="flatten", batch_normalization=False, dropout=0.0)
    top = networks.top(backbone(size=150), 12, TASK, head)
    assert top.count_params() == 98_316


def test_the_head_follows_its_parameters(
    backbone: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    head = finetune(pooling="max", dropout=0.25, dense=[7])
    top = networks.top(backbone(), 5, TASK, head)
    assert top.get_layer("dropout").rate == 0.25
    assert [layer.units for layer in top.layers if hasattr(layer, "units")] == [7, 5]
    assert type(top.get_layer("pooling")).__name__ == "GlobalMaxPooling2D"
    plain = networks.top(
        backbone(), 5, TASK, finetune(batch_normalization=False, dropout=0.0, dense=[])
    )
    names = [layer.name for layer in plain.layers]
    assert names == ["features", "pooling", "output"]


def test_the_layers_above_the_cut_are_in_only_if_they_are_trained(
    backbone: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    cut = backbone("block4_pool")
    block5 = 3 * (3 * 3 * 512 * 512 + 512)
    without = networks.top(cut, 5, TASK, finetune()).count_params()
    assert networks.top(cut, 5, TASK, finetune(unfreeze=1)).count_params() == without + block5


def test_nothing_above_the_cut_is_an_error_if_it_is_to_be_trained(
    backbone: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    with pytest.raises(SeedlingsError, match=r"finetune\.unfreeze\.epochs: expected 0.*cut lower"):
        networks.top(backbone(), 5, TASK, finetune(unfreeze=2))


@pytest.mark.parametrize(("cut", "unfreeze"), [("block5_pool", 0), ("block4_pool", 1)])
def test_the_whole_is_the_top_on_the_features_of_the_trunk(
    cut: str,
    unfreeze: int,
    backbone: Callable[..., Backbone],
    finetune: Callable[..., Finetune],
    rng: np.random.Generator,
) -> None:
    parts = backbone(cut)
    top = networks.top(parts, 5, TASK, finetune(unfreeze=unfreeze))
    whole = networks.assemble(parts.trunk, top)
    images = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    features = models.compiled(parts.trunk)(images)
    np.testing.assert_allclose(
        whole.predict(images, verbose=0), top.predict(features, verbose=0), atol=1e-6
    )
    assert np.allclose(whole.predict(images, verbose=0).sum(axis=1), 1.0, atol=1e-5)


@pytest.fixture
def scratch(tree: dict[str, Any]) -> Callable[..., Backbone]:
    def make(height: int, width: int, **changes: Any) -> Backbone:
        tree["extract"] |= {"backbone": "none", **changes}
        return backbones.build(check(tree).extract, height, width)

    return make


PLAIN_HEAD = {"pooling": "flatten", "batch_normalization": False, "dropout": 0.0}


def test_the_mnist_network_has_its_published_number_of_weights(
    scratch: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    trunk = scratch(28, 28, grayscale=True)
    top = networks.top(trunk, 10, TASK, finetune(convnet={"filters": [6, 12]}, **PLAIN_HEAD))
    assert networks.assemble(trunk.trunk, top).count_params() == 3730


def test_the_horse_or_human_network_has_the_weights_of_its_layers(
    scratch: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    trunk = scratch(300, 300)
    params = finetune(convnet={"filters": [16, 32, 64]}, dense=[512], **PLAIN_HEAD)
    top = networks.top(trunk, 1, TASKS["binary"], params)
    convolutions = (27 * 16 + 16) + (9 * 16 * 32 + 32) + (9 * 32 * 64 + 64)
    dense = (35 * 35 * 64 * 512 + 512) + (512 + 1)
    assert networks.assemble(trunk.trunk, top).count_params() == convolutions + dense
    assert top.layers[-1].activation is keras.activations.sigmoid


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
def test_a_convnet_is_what_its_parameters_say(
    convnet: dict[str, Any],
    expected: str,
    scratch: Callable[..., Backbone],
    finetune: Callable[..., Finetune],
) -> None:
    params = finetune(convnet={"filters": [3], **convnet}, **PLAIN_HEAD)
    top = networks.top(scratch(28, 28), 10, TASK, params)
    assert [type(layer).__name__ for layer in top.layers[1:-2]] == expected.split()


def test_residual_blocks_add_what_they_got(
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
    top = networks.top(scratch(8, 8), 2, TASK, params)
    for layer in top.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    features = rng.random((2, 8, 8, 3)).astype(np.float32)
    pooled = keras.Model(top.input, top.get_layer("pooling").output)
    np.testing.assert_allclose(
        pooled.predict(features, verbose=0), features.mean(axis=(1, 2)), rtol=1e-5
    )


@pytest.mark.parametrize("part", ["kernel", "bias", "activity"])
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_penalties_are_of_what_they_name(
    part: str,
    norm: str,
    tree: dict[str, Any],
    scratch: Callable[..., Backbone],
    finetune: Callable[..., Finetune],
) -> None:
    tree["finetune"]["regularization"][part][norm] = 0.01
    params = finetune(convnet={"filters": [2]}, dense=[3], **PLAIN_HEAD)
    top = networks.top(scratch(8, 8), 2, TASK, params)
    layers = [layer for layer in top.layers if layer.weights]
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
        networks.top(scratch(28, 28), 2, TASK, finetune(convnet={"filters": [2] * 5}))
