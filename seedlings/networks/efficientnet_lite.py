"""EfficientNet-Lite0: EfficientNet-B0 for small processors, with weights from ImageNet.

EfficientNet (Tan and Le 2019, arXiv:1905.11946) without squeeze-and-excitation, with ReLU6 in place
of swish, and with a stem and a head that are not scaled (R. Liu 2020, Higher accuracy on vision
models with EfficientNet-Lite, blog of TensorFlow).
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedlings.networks import layers, state_dicts
from seedlings.networks.runtime import keras

# Blocks, kernel, stride of the first block, expansion and filters of each stage.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
_SMALLEST = 32  # pixels: the stride of the last layer
_EPSILON = 1e-3


def build(shape: tuple[int | None, int | None, int]) -> "keras.Model":
    """Return EfficientNet-Lite0 without its top, with random weights.

    Maps images of `shape` (N x H x W x 3, preprocessed, float32) to N x H/32 x W/32 x 1280. The
    blocks have numbers from 0. Their layers are `block1_expand_conv`, `_expand_bn`, `_expand_relu`,
    `_depthwise_...`, `_project_conv`, `_project_bn` and, in blocks with a shortcut, `_add`.

    Raises ValueError for images smaller than 32 x 32.
    """
    if min(size or _SMALLEST for size in shape[:2]) < _SMALLEST:
        raise ValueError(f"expected images of at least 32 x 32, found {shape[0]} x {shape[1]}")
    images = keras.Input(shape, name="images")
    x = _convolution(images, _STEM, "stem", kernel=3, stride=2)
    number = 0
    for blocks, kernel, stride, expansion, filters in _STAGES:
        for repeat in range(blocks):
            first = stride if repeat == 0 else 1
            x = _block(x, filters, f"block{number}", kernel, first, expansion)
            number += 1
    x = _convolution(x, _HEAD, "head")
    return keras.Model(images, x, name="efficientnet_lite0")


def preprocess(images: Any) -> Any:
    """Return images (RGB, 0 to 255, float32) as EfficientNet-Lite expects them: -0.99 to 1."""
    return keras.layers.Rescaling(1.0 / 128.0, offset=-127.0 / 128.0, name="scaling")(images)


def load_weights(model: "keras.Model", path: Path) -> None:
    """Load the weights of a PyTorch state dict with the names of the package efficientnet-pytorch.

    Every tensor is used once, except those of the top. Raises ValueError if the file is no state
    dict, or has other tensors than the model.
    """
    tensors = state_dicts.read(path)
    for name in [name for name in tensors if name.startswith("_fc.")]:
        del tensors[name]
    for name in [name for name in tensors if name.endswith(".num_batches_tracked")]:
        del tensors[name]
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(_weights(layer, tensors))
    if tensors:
        raise ValueError(f"expected the tensors of the network, found also {sorted(tensors)[0]}")


def _weights(layer: "keras.layers.Layer", tensors: dict[str, NDArray]) -> list[NDArray]:
    """Return the weights of a layer in the order of Keras, and remove them from `tensors`."""
    name, parts, order = _pytorch_name(layer.name), ["weight"], (2, 3, 1, 0)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        order = (2, 3, 0, 1)
    elif isinstance(layer, keras.layers.BatchNormalization):
        parts = ["weight", "bias", "running_mean", "running_var"]
    found = []
    for part, weight in zip(parts, layer.weights, strict=True):
        if f"{name}.{part}" not in tensors:
            raise ValueError(f"expected the tensor {name}.{part}, found none")
        tensor = tensors.pop(f"{name}.{part}")
        if tensor.ndim == len(order):
            tensor = tensor.transpose(order)
        if tensor.shape != tuple(weight.shape) or tensor.dtype != np.float32:
            raise ValueError(
                f"{name}.{part}: expected float32 of the shape {tuple(weight.shape)}, as Keras "
                f"orders the axes, found {tensor.dtype} of {tensor.shape}"
            )
        found.append(tensor)
    return found


def _pytorch_name(name: str) -> str:
    """Return the name in PyTorch of a layer such as `block3_depthwise_bn`: `_blocks.3._bn1`."""
    place, _, layer = name.partition("_")
    if place == "stem":
        return {"conv": "_conv_stem", "bn": "_bn0"}[layer]
    if place == "head":
        return {"conv": "_conv_head", "bn": "_bn1"}[layer]
    names = {"expand_bn": "_bn0", "depthwise_bn": "_bn1", "project_bn": "_bn2"}
    return f"_blocks.{place.removeprefix('block')}.{names.get(layer, f'_{layer}')}"


def _block(x: Any, filters: int, name: str, kernel: int, stride: int, expansion: int) -> Any:
    """Apply an inverted residual block (Sandler et al. 2018), with a shortcut if shapes agree."""
    shortcut, channels = x, x.shape[-1]
    if expansion > 1:
        x = _convolution(x, channels * expansion, f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _activated(_normalized(x, f"{name}_depthwise"), f"{name}_depthwise")
    x = _convolution(x, filters, f"{name}_project", activated=False)
    if stride == 1 and filters == channels:
        x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return x


def _convolution(
    x: Any, filters: int, name: str, *, kernel: int = 1, stride: int = 1, activated: bool = True
) -> Any:
    """Apply a convolution, batch normalisation and, if `activated`, ReLU6."""
    x = keras.layers.Conv2D(
        filters, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    x = _normalized(x, name)
    return _activated(x, name) if activated else x


def _normalized(x: Any, name: str) -> Any:
    return layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_bn")(x)


def _activated(x: Any, name: str) -> Any:
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)
