from typing import Any

import assembly
import numpy as np
import pytest

from seedlings.errors import SeedlingsError
from seedlings.explain import activation_maximization, gradients
from seedlings.networks.runtime import keras
from seedlings.params import Params, check
from seedlings.tasks import TASKS


@pytest.fixture
def small(tree: dict[str, Any]) -> Params:
    tree["explain"].update(steps=12, jitter=2)
    tree["extract"].update(backbone="none", pooling="none")
    tree["finetune"]["convnet"].update(filters=[6, 8], convolutions=1)
    return check(tree)


def network(params: Params) -> "keras.Model":
    keras.utils.set_random_seed(1)
    return gradients.differentiable(assembly.classifier(params, (32, 32), 3, TASKS["multiclass"]))


def test_the_activation_of_filters_and_classes_is_higher_at_the_end(small: Params) -> None:
    model = network(small)
    found = activation_maximization.of_filters(model, small.explain, seed=5)
    layers = gradients.convolutions(model)
    assert [(one.layer, one.name) for one in found[:4]] == [
        (layers[0], f"filter {number}") for number in (0, 2, 3, 5)
    ]
    assert {one.layer for one in found} == set(layers)
    active = [one for one in found if one.start > 0.0]
    assert len(active) >= 3
    assert all(one.end > 1.2 * one.start for one in active)
    assert all(one.end >= one.start for one in found)
    named = small.explain.model_copy(update={"filters": {layers[-1]: [7]}})
    [one] = activation_maximization.of_filters(model, named, seed=5)
    assert (one.layer, one.name) == (layers[-1], "filter 7")
    classes = [("a", 0, 1.0), ("b", 1, 1.0), ("c", 2, 1.0)]
    of_classes = activation_maximization.of_outputs(model, classes, small.explain, seed=5)
    assert [one.name for one in of_classes] == ["a", "b", "c"]
    assert all(one.end > one.start for one in of_classes)
    numbers = activation_maximization.summarize(found + of_classes)
    assert numbers["output/end"] == pytest.approx(np.mean([one.end for one in of_classes]))


@pytest.mark.parametrize(
    ("dead", "chosen", "inactive"),
    [([0, 3], [1, 2, 4, 5], []), ([0, 3, 4], [0, 2, 3, 5], [0, 3])],
)
def test_filters_that_are_active_on_the_noise_are_chosen_if_there_are_enough(
    dead: list[int], chosen: list[int], inactive: list[int], small: Params
) -> None:
    model = network(small)
    first = gradients.convolutions(model)[0]
    layer = model.get_layer("head").get_layer(first)
    layer.activation = keras.activations.relu
    kernel, bias = (np.ones_like(weight) for weight in layer.get_weights())
    kernel[..., dead], bias[dead] = 0.0, -1.0
    layer.set_weights([kernel, bias])
    found = activation_maximization.of_filters(model, small.explain, seed=5)
    own = [one for one in found if one.layer == first]
    assert [one.name for one in own] == [f"filter {number}" for number in chosen]
    assert [one.name for one in own if one.is_inactive] == [f"filter {n}" for n in inactive]


def test_the_same_seed_gives_the_same_picture_at_a_fixed_mean_and_deviation(
    small: Params,
) -> None:
    classes = [("a", 0, 1.0), ("down", 1, -1.0)]
    first, second = (
        activation_maximization.of_outputs(network(small), classes, small.explain, seed=5)
        for _ in range(2)
    )
    for one, again in zip(first, second, strict=True):
        assert np.array_equal(one.image, again.image)
        assert one.image.shape == (32, 32, 3)
        assert one.image.mean() == pytest.approx(127.5, abs=2.0)
        assert one.image.std() == pytest.approx(25.5, abs=2.5)
    other = activation_maximization.of_outputs(network(small), classes, small.explain, seed=6)
    assert not np.array_equal(other[0].image, first[0].image)


def test_there_are_no_more_classes_than_asked_for_and_no_filters_without_convolutions(
    small: Params, tree: dict[str, Any]
) -> None:
    tree["explain"]["classes"] = 1
    tree["finetune"]["convnet"]["filters"] = []
    tree["finetune"]["head"]["pooling"] = "flatten"
    params = check(tree)
    model = network(params)
    classes = [("a", 0, 1.0), ("b", 1, 1.0)]
    assert len(activation_maximization.of_outputs(model, classes, params.explain, 0)) == 1
    assert activation_maximization.of_filters(model, params.explain, 0) == []


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"conv9": [0]}, r"explain.filters: expected a layer of the model, found 'conv9'"),
        ({"block1_conv1": [0, 16]}, r"explain.filters.block1_conv1: .* below 16.* found 16"),
    ],
)
def test_an_unknown_layer_or_filter_is_named(
    filters: dict[str, list[int]], message: str, tree: dict[str, Any]
) -> None:
    tree["explain"]["filters"] = filters
    tree["extract"]["width"] = 0.25
    params = check(tree)
    with pytest.raises(SeedlingsError, match=message):
        activation_maximization.of_filters(network(params), params.explain, 0)
