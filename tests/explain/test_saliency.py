"""Saliency of models of which it is known where the answer comes from."""

from typing import Any

import assembly
import numpy as np
import pytest

from seedlings.explain import gradients, saliency
from seedlings.explain.saliency import Explainer
from seedlings.networks.runtime import keras
from seedlings.params import Params, check
from seedlings.tasks import TASKS


def explainer(cut_off: int = 0) -> Explainer:
    """An explainer of a model whose score is the mean of red less the mean of green.

    `cut_off` is the number of columns at the right that the model does not see.
    """
    features = keras.Input((8, 8, 3))
    seen = keras.layers.Cropping2D(((0, 0), (0, cut_off)))(features)
    pooled = keras.layers.GlobalAveragePooling2D(name="pooling")(seen)
    output = keras.layers.Dense(1, use_bias=False, name="output")
    head = keras.Model(features, output(pooled), name="head")
    output.set_weights([np.array([[1.0], [-1.0], [0.0]])])
    pixels, image = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    extractor = keras.Model(image, keras.layers.Rescaling(1.0)(image), name="feature_extractor")
    directions = TASKS["binary"].directions(["green", "red"])
    return Explainer(keras.Model(pixels, head(extractor(pixels))), directions)


def test_smoothgrad_lies_where_pixels_change_the_score(params: Params) -> None:
    picture = np.full((8, 8, 3), (150, 100, 100), np.uint8)
    heat = explainer(cut_off=4).smoothgrad(picture, params.explain, seed=0)
    assert heat[:, :4] == pytest.approx(1.0)
    assert heat[:, 4:] == pytest.approx(0.0)


@pytest.mark.parametrize(("red", "green", "leaning_to_the_left"), [(200, 100, 1), (100, 200, 0)])
def test_grad_cam_lies_where_the_answer_comes_from(
    red: int, green: int, leaning_to_the_left: int, params: Params
) -> None:
    red_or_green = explainer()
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, :4, 0], picture[:, 4:, 1] = red, green
    smoothgrad = red_or_green.smoothgrad(picture, params.explain, seed=0)
    grad_cam = red_or_green.grad_cam(picture)
    assert smoothgrad == pytest.approx(1.0)  # every pixel counts as much, either way
    assert grad_cam[:, :4] == pytest.approx(leaning_to_the_left)
    assert grad_cam[:, 4:] == pytest.approx(1 - leaning_to_the_left)
    left_half = np.zeros((8, 8), bool)
    left_half[:, :4] = True
    assert saliency.share_inside(smoothgrad, left_half) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "layers", [["block4_pool"], ["block2_pool", "block3_conv2", "block5_pool"]]
)
def test_the_contributions_of_all_layers_add_up_to_the_score_of_a_linear_head(
    layers: list[str], tree: dict[str, Any], rng: np.random.Generator
) -> None:
    """But for a constant: the score of features that are 0."""
    tree["extract"] |= {"pooling": "average", "layers": layers, "width": 0.25}
    tree["finetune"]["head"] |= {"batch_normalization": False, "dropout": 0.0}
    keras.utils.set_random_seed(5)
    task = TASKS["multiclass"]
    network = gradients.differentiable(assembly.classifier(check(tree), (64, 64), 3, task))
    linear = Explainer(network, task.directions(["a", "b", "c"]))
    pixels = rng.uniform(0.0, 255.0, (64, 64, 3)).astype(np.float32)
    scores = np.asarray(network(pixels[None]))[0]
    head = network.get_layer("head")
    constants = np.asarray(head(np.zeros((1, *head.input_shape[1:]), np.float32)))[0]
    for unit in range(3):
        parts = linear.contributions(pixels, np.int64(unit), np.float32(1.0))
        assert len(parts) == len(layers)
        total = saliency._sum(parts)
        assert total.shape == max(part.shape for part in parts)
        expected = scores[unit] - constants[unit]
        assert total.sum() == pytest.approx(expected, rel=1e-3)
        assert sum(part.sum() for part in parts) == pytest.approx(expected, rel=1e-3)


def test_an_overlay_is_warm_where_the_map_is_high() -> None:
    image = np.full((4, 4, 3), 90, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1.0
    shown = saliency.overlay(image, heat)
    assert shown.shape == image.shape
    assert shown[0, 0].mean() > shown[3, 3].mean()
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 2
    assert (image == 90).all()


def test_an_empty_map_has_no_share_inside_a_mask() -> None:
    assert saliency.share_inside(np.zeros((2, 2), np.float32), np.ones((2, 2), bool)) == 0.0
