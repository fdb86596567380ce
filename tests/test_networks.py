from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from seedlings import backbones, networks
from seedlings.backbones import Backbone
from seedlings.errors import SeedlingsError
from seedlings.params import Finetune, check


@pytest.fixture
def finetune(tree: dict[str, Any]) -> Callable[..., Finetune]:
    def make(unfreeze: int = 0, **head: Any) -> Finetune:
        tree["finetune"]["head"].update(head)
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
    model = networks.logistic_regression((4, 5, 3), 12)
    images = rng.integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)
    kernel, bias = model.get_weights()
    scores = images.reshape(7, -1) / 255.0 @ kernel + bias
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-5)


def test_the_chapters_head_has_its_published_number_of_weights(
    backbone: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    head = finetune(pooling="flatten", batch_normalization=False, dropout=0.0)
    top = networks.top(backbone(size=150), 12, head)
    assert top.count_params() == 98_316


def test_the_head_follows_its_parameters(
    backbone: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    top = networks.top(backbone(), 5, finetune(pooling="max", dropout=0.25, l1=0.1, l2=0.2))
    assert top.get_layer("dropout").rate == 0.25
    penalty = top.get_layer("probabilities").kernel_regularizer
    assert (float(penalty.l1), float(penalty.l2)) == pytest.approx((0.1, 0.2))
    assert type(top.get_layer("pooling")).__name__ == "GlobalMaxPooling2D"
    plain = networks.top(backbone(), 5, finetune(batch_normalization=False, dropout=0.0))
    names = [layer.name for layer in plain.layers]
    assert names == ["features", "pooling", "probabilities"]


def test_the_layers_above_the_cut_are_in_only_if_they_are_trained(
    backbone: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    cut = backbone("block4_pool")
    block5 = 3 * (3 * 3 * 512 * 512 + 512)
    without = networks.top(cut, 5, finetune()).count_params()
    assert networks.top(cut, 5, finetune(unfreeze=1)).count_params() == without + block5


def test_nothing_above_the_cut_is_an_error_if_it_is_to_be_trained(
    backbone: Callable[..., Backbone], finetune: Callable[..., Finetune]
) -> None:
    with pytest.raises(SeedlingsError, match=r"finetune\.unfreeze\.epochs: expected 0.*cut lower"):
        networks.top(backbone(), 5, finetune(unfreeze=2))


@pytest.mark.parametrize(("cut", "unfreeze"), [("block5_pool", 0), ("block4_pool", 1)])
def test_the_whole_is_the_top_on_the_features_of_the_trunk(
    cut: str,
    unfreeze: int,
    backbone: Callable[..., Backbone],
    finetune: Callable[..., Finetune],
    rng: np.random.Generator,
) -> None:
    parts = backbone(cut)
    top = networks.top(parts, 5, finetune(unfreeze=unfreeze))
    whole = networks.assemble(parts.trunk, top)
    images = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    features = backbones.compiled(parts.trunk)(images)
    np.testing.assert_allclose(
        whole.predict(images, verbose=0), top.predict(features, verbose=0), atol=1e-6
    )
    assert np.allclose(whole.predict(images, verbose=0).sum(axis=1), 1.0, atol=1e-5)
