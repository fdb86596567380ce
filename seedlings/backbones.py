"""Backbones: the networks of keras.applications, cut into a frozen trunk and what is above it."""

import difflib
import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedlings import downloads, models
from seedlings.errors import SeedlingsError
from seedlings.params import Extract
from seedlings.runtime import keras, tf


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network in two parts, cut at a layer.

    The trunk takes images (N x height x width x 3, RGB uint8), does the backbone's own
    preprocessing and gives the output of the cut (N x h x w x C, float32); it is frozen. `above`
    takes that and gives the backbone's last output; it is None if the cut is the last layer.
    """

    trunk: "keras.Model"
    above: "keras.Model | None"


def build(params: Extract, height: int, width: int) -> Backbone:
    """The backbone that the parameters name, for images of height x width, with its weights.

    Raises SeedlingsError for an unknown backbone or layer, a layer that is no clean cut, an image
    too small, and weights that cannot be had.
    """
    application, preprocess = _find(params.backbone)
    backbone = _with_weights(application, params, (height, width, 3))
    layer = _find_layer(backbone, params)
    images = keras.Input((height, width, 3), dtype="uint8", name="image")
    pixels = preprocess(keras.ops.cast(images, "float32"))
    below = keras.Model(backbone.input, layer.output, name="below")
    trunk = keras.Model(images, below(pixels), name="trunk")
    trunk.trainable = False
    return Backbone(trunk, _above(backbone, layer, params))


def save(backbone: Backbone, path: Path) -> None:
    """Write both parts into the folder `path`."""
    models.save(backbone.trunk, path / "trunk")
    if backbone.above:
        models.save(backbone.above, path / "above")


def load(path: Path) -> Backbone:
    """The backbone in the folder `path`, frozen. Raises SeedlingsError where there is none."""
    above = path / "above"
    backbone = Backbone(models.load(path / "trunk"), models.load(above) if above.exists() else None)
    backbone.trunk.trainable = False
    return backbone


def compiled(trunk: "keras.Model") -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The trunk as one compiled function of a batch of any length."""
    signature = [tf.TensorSpec((None, *trunk.input_shape[1:]), tf.uint8)]
    function = tf.function(lambda batch: trunk(batch, training=False), input_signature=signature)
    return lambda batch: function(batch).numpy()


def _find(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The function that makes a backbone, and the preprocessing that belongs to it."""
    names = [member for member in dir(keras.applications) if member[0].isupper()]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
        raise SeedlingsError(
            f"extract.backbone: expected a network of keras.applications, found {name!r}; "
            f"there is {', '.join(close)}"
        )
    application = getattr(keras.applications, name)
    return application, importlib.import_module(application.__module__).preprocess_input


def _with_weights(
    application: Callable[..., Any], params: Extract, shape: tuple[int, int, int]
) -> "keras.Model":
    weights = "imagenet" if params.weights == "imagenet" else None
    try:
        backbone = application(include_top=False, weights=weights, input_shape=shape)
    except ValueError as error:
        raise SeedlingsError(
            f"extract.backbone {params.backbone} cannot take images of {shape[0]} x {shape[1]} "
            f"(segment.size): {error}"
        ) from error
    except Exception as error:
        if weights is None:
            raise
        raise SeedlingsError(  # Keras raises a plain Exception for a failed download
            f"the ImageNet weights of {params.backbone} could not be fetched: {error}\n"
            "There are two ways out: fetch the file where there is a network and set "
            "extract.weights to its path and extract.checksum to its checksum; or set "
            "extract.weights to `random`, which trains nothing in advance"
        ) from error
    if params.weights not in ("imagenet", "random"):
        _load_file(backbone, params)
    return backbone


def _load_file(backbone: "keras.Model", params: Extract) -> None:
    if params.weights.startswith(("http://", "https://")):
        path = downloads.fetch(params.weights, params.checksum)
    else:
        path = Path(params.weights)
        if not path.is_file():
            raise SeedlingsError(
                f"extract.weights: expected `random`, `imagenet`, a URL or a file, found no file "
                f"at {path}\nThere are two ways out: put the file there, or set extract.weights "
                "to `random`"
            )
        downloads.verify(path, params.checksum)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Keras only warns of layers that it leaves random
            backbone.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        reason = str(error).strip().splitlines()[0]
        raise SeedlingsError(
            f"extract.weights: {path} does not hold the weights of {params.backbone} without its "
            f"top ({reason}); the file must be a .h5 or .weights.h5 of that network"
        ) from error


def _find_layer(backbone: "keras.Model", params: Extract) -> "keras.layers.Layer":
    names = [layer.name for layer in backbone.layers[1:]]
    if params.cut not in names:
        close = difflib.get_close_matches(params.cut, names, n=5, cutoff=0.5) or names[-8:]
        raise SeedlingsError(
            f"extract.cut: {params.backbone} has no layer {params.cut!r}; "
            f"near it, or last, are {', '.join(close)} (the last of all is {names[-1]})"
        )
    return backbone.get_layer(params.cut)


def _above(
    backbone: "keras.Model", layer: "keras.layers.Layer", params: Extract
) -> "keras.Model | None":
    if layer is backbone.layers[-1]:
        return None
    try:
        return keras.Model(layer.output, backbone.output, name="above")
    except ValueError as error:
        raise SeedlingsError(
            f"extract.cut: {params.backbone} cannot be cut at {params.cut}, as a shortcut goes "
            "around it; cut at a layer that everything passes, such as the end of a block"
        ) from error
