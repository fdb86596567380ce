"""Saliency on pictures of which it is known where the plant is."""

from typing import Any

import assembly
import numpy as np
import pytest
from numpy.typing import NDArray

from seedlings.data import sample
from seedlings.explain import gradients, saliency
from seedlings.explain.saliency import Explainer
from seedlings.networks.runtime import keras
from seedlings.params import Params, check
from seedlings.tasks import TASKS

SIZE = 64
KINDS = (0, 10)  # grass, and round leaves
Drawn = tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.int64]]


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    """Pictures of two species, where the plant is, and the number of the species."""
    pairs = [
        sample.draw_numbered(kind, number, seed=1, size=SIZE)
        for number in range(110)
        for kind in KINDS
    ]
    pictures, masks = (np.stack(part) for part in zip(*pairs, strict=True))
    return pictures, masks, np.tile([0, 1], 110)


def assemble(params: Params) -> "keras.Model":
    keras.utils.set_random_seed(2)
    return assembly.classifier(params, (SIZE, SIZE), 2, TASKS["multiclass"])


def train(model: "keras.Model", pictures: NDArray, labels: NDArray, epochs: int) -> None:
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(pictures, labels, epochs=epochs, batch_size=16, verbose=0)


def times_the_area(
    explainer: Explainer, params: Params, pictures: NDArray, masks: NDArray
) -> float:
    """How many times the share of the area the share of SmoothGrad's mass on the plant is."""
    shares = []
    for picture, mask in zip(pictures, masks, strict=True):
        heat = explainer.smoothgrad(picture, params.explain, seed=0)
        shares.append(saliency.share_inside(heat, mask) / mask.mean())
    return float(np.mean(shares))


DIRECTIONS = TASKS["multiclass"].directions(["a", "b"])


@pytest.mark.slow
def test_a_network_from_scratch_looks_at_the_plant(tree: dict[str, Any], drawn: Drawn) -> None:
    pictures, masks, labels = drawn
    tree["extract"]["backbone"] = "none"
    tree["finetune"]["convnet"].update(
        filters=[8, 16, 32], padding="same", batch_normalization="after_convolution"
    )
    params = check(tree)
    model = assemble(params)
    train(model, pictures[:200], labels[:200], epochs=20)
    explainer = Explainer(gradients.differentiable(model), DIRECTIONS)
    ratio = times_the_area(explainer, params, pictures[200:], masks[200:])
    print(f"from scratch, whole pictures: {ratio:.2f} times the mask's share of the area")
    assert ratio > 1.5


@pytest.fixture
def red_or_green() -> Explainer:
    """An explainer of a model whose score is the mean of red less the mean of green."""
    features = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D(name="pooling")(features)
    output = keras.layers.Dense(1, use_bias=False, name="output")
    head = keras.Model(features, output(pooled), name="head")
    output.set_weights([np.array([[1.0], [-1.0], [0.0]])])
    pixels, image = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    extractor = keras.Model(image, keras.layers.Rescaling(1.0)(image), name="feature_extractor")
    directions = TASKS["binary"].directions(["green", "red"])
    return Explainer(keras.Model(pixels, head(extractor(pixels))), directions)


@pytest.mark.parametrize(("red", "green", "leaning_to_the_left"), [(200, 100, 1), (100, 200, 0)])
def test_grad_cam_lies_where_the_answer_comes_from(
    red: int, green: int, leaning_to_the_left: int, red_or_green: Explainer, params: Params
) -> None:
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
