"""Gradients of a layer's output with respect to the input pixels."""

import difflib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedlings.errors import SeedlingsError
from seedlings.networks.runtime import keras, tf

Pixels = NDArray[np.float32]
Gradient = Callable[
    [Pixels, NDArray[np.int64], NDArray[np.float32]], tuple[NDArray[np.float32], Pixels]
]


def differentiable(model: "keras.Model") -> "keras.Model":
    """Return a copy of an assembled model whose inputs are float32 pixels (0..255).

    uint8 pixels have no gradient. The copy has no activation in the last layer, so that its outputs
    are scores and not probabilities, as in Simonyan et al. (2014).
    """
    twin = keras.Model.from_config(_with_real_pixels(json.loads(model.to_json())["config"]))
    twin.set_weights(model.get_weights())
    twin.trainable = False
    twin.get_layer("head").get_layer("output").activation = keras.activations.linear
    return twin


def up_to_layer(model: "keras.Model", name: str) -> "keras.Model":
    """Return the model from its input to the output of the layer `name`, also of a nested layer.

    Raises SeedlingsError if there is no such layer.
    """
    part = _up_to_layer(model, name)
    if part is None:
        names = convolutions(model)
        close = difflib.get_close_matches(name, names, n=5, cutoff=0.5) or names
        raise SeedlingsError(
            f"explain.filters: expected a layer of the model, found {name!r}; "
            + (f"its convolutions are {', '.join(close)}" if close else "it has no convolutions")
        )
    return part


def convolutions(model: "keras.Model") -> list[str]:
    """Return the names of all convolutions, in the order of the forward pass."""
    names = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            names += convolutions(layer)
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.SeparableConv2D):
            names.append(layer.name)
    return names


def last_maps(model: "keras.Model") -> tuple["keras.Model", "keras.Model"]:
    """Return an assembled model in two parts: pixels to maps (each N x h x w x C), to scores.

    The maps are those that are pooled: the last one or, with pooled features, that of each of their
    layers.
    """
    extractor, head = model.get_layer("feature_extractor"), model.get_layer("head")
    means = keras.layers.GlobalAveragePooling2D
    maps = [layer.input for layer in extractor.layers if isinstance(layer, means)]
    if maps:
        scores = head(extractor.output)
        return keras.Model(extractor.input, maps), keras.Model(maps, scores)
    last = head.get_layer("pooling").input
    maps = keras.Model(head.input, last)(extractor(model.input))
    return keras.Model(model.input, maps), keras.Model(last, head.output)


def window(model: "keras.Model") -> tuple[int, int, int, int]:
    """Return top, left, height and width of the part of an image that a model's crops keep."""
    top, left, (height, width) = 0, 0, model.input_shape[1:3]
    for layer in model.get_layer("feature_extractor").layers:
        if isinstance(layer, keras.layers.Cropping2D):
            (above, below), (before, after) = layer.cropping
            top, left = top + above, left + before
            height, width = height - above - below, width - before - after
        elif isinstance(layer, keras.layers.CenterCrop):
            top, left = top + (height - layer.height) // 2, left + (width - layer.width) // 2
            height, width = layer.height, layer.width
    return top, left, height, width


def gradient(model: "keras.Model") -> Gradient:
    """Return a compiled function: pixels (N x H x W x 3), units, signs (N) to values, gradients.

    The value (N) of an image is the output of its unit; for a filter, the mean of its map. The
    gradient (N x H x W x 3) is that of sign times value with respect to the pixels.
    """

    def climb(pixels: Any, units: Any, signs: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            outputs = model(pixels, training=False)
            if len(outputs.shape) == 4:
                outputs = tf.reduce_mean(outputs, axis=(1, 2))
            values = tf.gather(outputs, units, batch_dims=1)
            total = tf.reduce_sum(signs * values)
        return values, tape.gradient(total, pixels)

    signature = [
        tf.TensorSpec((None, *model.input_shape[1:]), tf.float32),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((None,), tf.float32),
    ]
    compiled = tf.function(climb, input_signature=signature)

    def of(pixels: Pixels, units: NDArray[np.int64], signs: NDArray[np.float32]) -> Any:
        values, slopes = compiled(tf.constant(pixels), tf.constant(units), tf.constant(signs))
        return values.numpy(), slopes.numpy()

    return of


def _up_to_layer(model: "keras.Model", name: str) -> "keras.Model | None":
    """Return as `up_to_layer`, or None. The layers before a nested model must be a sequence."""
    x = model.input
    for operation in model.operations[1:]:
        if isinstance(operation, keras.Model):
            if (inner := _up_to_layer(operation, name)) is not None:
                return keras.Model(model.input, inner(x))
            x = operation(x)
        elif operation.name == name:
            return keras.Model(model.input, operation.output)
        else:
            x = operation.output
    return None


def _with_real_pixels(config: Any) -> Any:
    """Return a model's configuration with float32 inputs instead of uint8."""
    if isinstance(config, list):
        return [_with_real_pixels(value) for value in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "InputLayer" and config["config"]["dtype"] == "uint8":
        return {**config, "config": {**config["config"], "dtype": "float32"}}
    return {key: _with_real_pixels(value) for key, value in config.items()}
