from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seedlings.networks.runtime import keras
from seedlings.training.muon import ADAM_RATIO, Muon


def optimizer(**options: Any) -> Muon:
    return Muon(0.1, weight_decay=options.pop("weight_decay", 0.0), momentum=0.9, **options)


def kernel(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 3, 8, 4), (1, 1, 4, 16), (3, 3, 96, 64), (1, 1, 640, 16)])
def test_the_update_of_a_kernel_is_the_iteration_of_keras_on_its_matrix(
    shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    gradient = kernel(rng, *shape)
    matrix = gradient.reshape(-1, shape[-1])
    own = optimizer().zeropower_via_newtonschulz5(gradient)
    plain = keras.optimizers.Muon().zeropower_via_newtonschulz5(matrix, 5)
    scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
    np.testing.assert_allclose(own, scale * np.reshape(plain, shape), atol=2e-4)


def test_only_convolutions_have_it_and_all_other_weights_adamw(rng: np.random.Generator) -> None:
    shapes = {"kernel": (3, 3, 4, 8), "matrix": (8, 3), "bias": (8,)}
    start = {name: kernel(rng, *shape) for name, shape in shapes.items()}
    own = {name: keras.Variable(value, name=name) for name, value in start.items()}
    others = {name: keras.Variable(value, name=name) for name, value in start.items()}
    gradients = [[kernel(rng, *shape) for shape in shapes.values()] for _ in range(3)]
    muon = optimizer(weight_decay=0.2)
    adamw = keras.optimizers.AdamW(0.1 * ADAM_RATIO, weight_decay=0.2)
    for given in gradients:
        muon.apply(given, list(own.values()))
        adamw.apply(given, list(others.values()))
    for name in ("matrix", "bias"):
        np.testing.assert_allclose(own[name].numpy(), others[name].numpy(), rtol=1e-4, atol=1e-6)
    assert not np.allclose(own["kernel"].numpy(), others["kernel"].numpy(), atol=1e-2)


@pytest.mark.parametrize(
    ("name", "shape", "is_muon"),
    [
        ("conv/kernel", (3, 3, 8, 4), True),
        ("stem/kernel", (3, 3, 3, 8), False),
        ("depthwise_conv2d/kernel", (3, 3, 8, 1), False),
        ("dense/kernel", (8, 4), False),
        ("conv/bias", (4,), False),
    ],
)
def test_kernels_of_convolutions_with_many_inputs_have_muon(
    name: str, shape: tuple[int, ...], is_muon: bool
) -> None:
    with keras.name_scope(name.partition("/")[0]):
        variable = keras.Variable(np.zeros(shape, np.float32), name=name.partition("/")[2])
    assert variable.path == name
    assert optimizer()._should_use_adamw(variable) is not is_muon


def test_momentum_and_weight_decay_of_a_kernel(rng: np.random.Generator) -> None:
    start, first, second = (kernel(rng, 2, 2, 4, 5) for _ in range(3))
    variable = keras.Variable(start)
    muon = optimizer(weight_decay=0.2)
    expected, moment = start, np.zeros_like(start)
    for gradient in (first, second):
        muon.apply([gradient], [variable])
        moment = 0.9 * moment + gradient
        update = muon.zeropower_via_newtonschulz5(gradient + 0.9 * moment)
        expected = expected * (1.0 - 0.1 * 0.2) - 0.1 * np.asarray(update)
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-6)
