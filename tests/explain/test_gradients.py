from collections.abc import Callable
from typing import Any

import assembly
import numpy as np
import pytest
from numpy.typing import NDArray

from seedlings.errors import SeedlingsError
from seedlings.explain import gradients
from seedlings.networks.runtime import keras
from seedlings.params import check
from seedlings.tasks import TASKS

Assembled = Callable[..., "keras.Model"]


@pytest.fixture
def assembled(tree: dict[str, Any]) -> Assembled:
    """A model for images of 40 x 32 pixels: a ConvNet from scratch, or a cut backbone."""

    def make(units: int = 3, task: str = "multiclass", **extract: Any) -> "keras.Model":
        keras.utils.set_random_seed(3)
        tree["finetune"]["convnet"]["filters"] = [] if extract else [4, 6]
        pooled = extract.get("pooling") == "average"
        tree["finetune"]["unfreeze"]["epochs"] = int("cut" in extract and not pooled)
        tree["extract"].update({"pooling": "none", **(extract or {"backbone": "none"})})
        return assembly.classifier(check(tree), (40, 32), units, TASKS[task])

    return make


BACKBONES = [
    {},
    {"backbone": "VGG16", "cut": "block4_pool", "width": 0.25},
    {"backbone": "MobileNet", "cut": "conv_pw_6_relu", "cropping": [4, 4, 0, 0]},
    {"width": 0.25, "pooling": "average", "layers": ["block2_pool", "block4_pool"]},
    {"width": 0.25, "pooling": "average", "layers": ["block4_pool"]},
]


@pytest.mark.slow
@pytest.mark.parametrize("extract", BACKBONES)
def test_the_scores_are_those_of_the_model_and_of_its_last_maps_and_what_follows_it(
    extract: dict[str, Any], assembled: Assembled, noise: Callable[..., NDArray[np.uint8]]
) -> None:
    model = assembled(**extract)
    images = np.stack([noise(40, 32) for _ in range(3)])
    network, pixels = gradients.differentiable(model), images.astype(np.float32)
    scores = np.asarray(network(pixels))
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True)
    assert np.asarray(model(images)) == pytest.approx(expected, abs=1e-6)
    assert model.get_layer("head").get_layer("output").activation.__name__ == "softmax"
    before, after = gradients.last_maps(network)
    assert len(before.outputs) == len(extract.get("layers", [""]))
    assert all(len(maps.shape) == 4 for maps in before.outputs)
    assert np.asarray(after(before(pixels))) == pytest.approx(scores, abs=1e-5)


def test_a_layer_is_found_however_deep_it_lies(assembled: Assembled) -> None:
    network = gradients.differentiable(assembled(backbone="VGG16", cut="block4_pool", width=0.25))
    layers = gradients.convolutions(network)
    assert layers[0] == "block1_conv1"
    assert layers[-1] == "block5_conv3"
    assert len(layers) == 13
    assert gradients.up_to_layer(network, "block1_conv1").output_shape == (None, 40, 32, 16)
    assert gradients.up_to_layer(network, "block5_conv1").output_shape == (None, 2, 2, 128)
    with pytest.raises(SeedlingsError, match="found 'block5_con1'.*block5_conv1"):
        gradients.up_to_layer(network, "block5_con1")


def test_the_model_up_to_a_layer_returns_the_layers_output(
    assembled: Assembled, noise: Callable[..., NDArray[np.uint8]]
) -> None:
    model = assembled()
    network = gradients.differentiable(model)
    first = gradients.convolutions(network)[0]
    pixels = noise(40, 32)[None].astype(np.float32)
    kernel, bias = model.get_layer("head").get_layer(first).get_weights()
    window = pixels[0, 4:7, 10:13] / 255.0
    expected = np.einsum("yxc,yxcf->f", window, kernel) + bias
    found = np.asarray(gradients.up_to_layer(network, first)(pixels))[0, 4, 10]
    assert found == pytest.approx(expected, abs=1e-5)


def test_the_window_is_what_crops_leave_of_an_image(assembled: Assembled) -> None:
    assert gradients.window(assembled()) == (0, 0, 40, 32)
    crops = {"cropping": [4, 2, 0, 3], "center_crop": [30, 25]}
    network = gradients.differentiable(assembled(backbone="none", **crops))
    assert network.get_layer("feature_extractor").output_shape[1:3] == (30, 25)
    assert gradients.window(network) == (4 + 2, 0 + 2, 30, 25)


def test_the_gradient_is_that_of_small_differences(
    assembled: Assembled, noise: Callable[..., NDArray[np.uint8]]
) -> None:
    network = gradients.differentiable(assembled(units=1, task="binary"))
    gradient = gradients.gradient(network)
    pixels = noise(40, 32)[None].astype(np.float32)
    down = np.array([-1.0], np.float32)
    values, slopes = gradient(pixels, np.array([0]), down)
    assert values == pytest.approx(np.asarray(network(pixels))[:, 0], abs=1e-5)
    step = slopes / np.abs(slopes).max()
    after, _ = gradient(pixels + step, np.array([0]), down)
    assert values - after == pytest.approx((slopes * step).sum(), rel=0.05)
