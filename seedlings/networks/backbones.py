"""Backbones: networks cut into a feature extractor and trainable layers, or pooled.

The feature extractor is frozen. Without a backbone (from scratch), it is only the preprocessing.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedlings.errors import SeedlingsError
from seedlings.io import downloads
from seedlings.networks import applications, hub, layers, models
from seedlings.networks.applications import Application, Shape
from seedlings.networks.params import Extract
from seedlings.networks.runtime import keras


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network in two parts, cut at a layer.

    The frozen feature extractor crops images (N x height x width x 3, RGB uint8), applies the
    preprocessing of the backbone, and returns the output of the layer at the cut (N x h x w x C,
    float32). The trainable layers map that to the last output of the backbone; they are None if the
    cut is the last layer.

    With `extract.pooling: average`, the feature extractor returns one row an image (N x C): the
    means over the places of several layers, side by side. There are no trainable layers then;
    `unfreeze` lets layers inside the feature extractor train.
    """

    feature_extractor: "keras.Model"
    trainable_layers: "keras.Model | None"

    @property
    def is_pooled(self) -> bool:
        """Whether the features of an image are one row."""
        return len(self.feature_extractor.output_shape) == 2

    @property
    def widths(self) -> list[int]:
        """The numbers of features of each layer, if they are pooled."""
        means, every = keras.layers.GlobalAveragePooling2D, self.feature_extractor.layers
        return [layer.output.shape[-1] for layer in every if isinstance(layer, means)]

    @property
    def window(self) -> tuple[int, int] | None:
        """Height and width of the centre crop in the feature extractor, or None."""
        for layer in self.feature_extractor.layers:
            if isinstance(layer, keras.layers.CenterCrop):
                return layer.height, layer.width
        return None


def build(params: Extract, height: int, width: int) -> Backbone:
    """Return the backbone of the parameters with its weights, for images of height x width.

    Raises SeedlingsError for an unknown backbone or layer, a cut that a shortcut bypasses, images
    that are too small, and weights that cannot be loaded or downloaded.
    """
    images = keras.Input((height, width, 3), dtype="uint8", name="image")
    cropped = _crop(images, params)
    if params.from_scratch:
        return Backbone(
            keras.Model(images, _scale(cropped, params), name="feature_extractor"), None
        )
    application = applications.find(params.backbone)
    backbone = _with_weights(application, params, tuple(cropped.shape[1:]))
    if params.pooling == "average":
        pixels = application.preprocess(keras.ops.cast(_colours(cropped, params), "float32"))
        pooled = _pooled(backbone, application, params, pixels)
        feature_extractor = keras.Model(images, pooled, name="feature_extractor")
        feature_extractor.trainable = False
        return Backbone(feature_extractor, None)
    if backbone.layers[-1].name == hub.PATCHES:
        raise SeedlingsError(
            f"extract.pooling: expected average, as {params.backbone} has a token for each patch "
            f"and no layers to cut between, found {params.pooling}"
        )
    last = _find_map(backbone, params.last, "last") if params.last else backbone.layers[-1]
    name = params.cut or application.cut
    cut = _find_map(backbone, name, "cut") if name else last
    pixels = application.preprocess(keras.ops.cast(_colours(cropped, params), "float32"))
    below = keras.Model(backbone.input, cut.output, name="below")
    feature_extractor = keras.Model(images, below(pixels), name="feature_extractor")
    feature_extractor.trainable = False
    return Backbone(feature_extractor, _trainable_layers(backbone, cut, last, params))


def unfreeze(
    feature_extractor: "keras.Model", cut: str | None, *, batch_normalization: bool = False
) -> None:
    """Let the layers of a pooled feature extractor after `cut` train, or all if it is None.

    Without `batch_normalization`, these layers stay frozen, with the statistics of pretraining; the
    position embeddings of DINOv2 always do. Raises SeedlingsError if no layer follows the cut.
    """
    below = feature_extractor.get_layer("below")
    layers_ = below.layers
    names = [layer.name for layer in layers_]
    first = 1 + (names.index(cut) if cut in names else len(names) if cut else 0)
    feature_extractor.trainable = True
    for number, layer in enumerate(layers_):
        layer.trainable = number >= first
    for layer in below._flatten_layers(include_self=False):  # also those inside of layers
        if isinstance(layer, keras.layers.BatchNormalization) and not batch_normalization:
            layer.trainable = False
        hub.freeze_embeddings(layer)
    if not feature_extractor.trainable_weights:
        raise SeedlingsError(
            "finetune.unfreeze.epochs: expected 0, as no layer of the features follows "
            f"extract.cut, found more; set extract.cut to a layer before {names[-1]}, in place of "
            f"{cut}, or to null, which trains all layers"
        )


def _pooled(backbone: "keras.Model", application: Application, params: Extract, pixels: Any) -> Any:
    """Return the means over the places of the layers in the parameters, side by side (N x C)."""
    if params.last:
        chosen = [_find_map(backbone, params.last, "last")]
    else:
        names = params.layers or application.layers or [backbone.layers[-1].name]
        chosen = [_find_map(backbone, name, "layers") for name in names]
    if params.cut:
        _find_layer(backbone, params.cut, "cut")
    below = keras.Model(backbone.input, [layer.output for layer in chosen], name="below")
    maps = below(pixels)
    rows = [
        layers.GlobalAveragePooling2D(name=f"mean_{layer.name}")(output)
        for layer, output in zip(chosen, maps, strict=True)
    ]
    return keras.layers.Concatenate(name="features")(rows) if len(rows) > 1 else rows[0]


def _crop(images: Any, params: Extract) -> Any:
    """Apply `extract.cropping`, then `extract.center_crop`."""
    top, bottom, left, right = params.cropping
    height, width = images.shape[1:3]
    if top + bottom >= height or left + right >= width:
        raise SeedlingsError(
            f"extract.cropping: expected less than the {height} x {width} pixels of the image "
            f"(segment.pixels), found {params.cropping}"
        )
    x = images
    if any(params.cropping):
        x = keras.layers.Cropping2D(((top, bottom), (left, right)), name="cropping")(x)
    if params.center_crop:
        if params.center_crop[0] > x.shape[1] or params.center_crop[1] > x.shape[2]:
            raise SeedlingsError(
                f"extract.center_crop: expected at most {x.shape[1]} x {x.shape[2]} pixels "
                f"(segment.pixels minus extract.cropping), found {params.center_crop}"
            )
        x = keras.layers.CenterCrop(*params.center_crop, name="center_crop")(x)
    return x


def _colours(images: Any, params: Extract) -> Any:
    """Return the images; with `extract.grayscale`, their mean in all three channels."""
    if not params.grayscale:
        return images
    grey = keras.ops.mean(keras.ops.cast(images, "float32"), axis=-1, keepdims=True)
    return keras.ops.repeat(grey, 3, axis=-1)


def _scale(images: Any, params: Extract) -> Any:
    """Return the input of a network from scratch: scaled, and with one channel if grey."""
    x = keras.ops.cast(images, "float32")
    if params.grayscale:
        x = keras.ops.mean(x, axis=-1, keepdims=True)
    match params.scaling:
        case "unit":
            return keras.layers.Rescaling(1.0 / 255.0, name="scaling")(x)
        case "signed":
            return keras.layers.Rescaling(1.0 / 127.5, offset=-1.0, name="scaling")(x)
        case _:
            return x


def save(backbone: Backbone, path: Path) -> None:
    """Write both parts of a backbone into the folder `path`."""
    models.save(backbone.feature_extractor, path / "feature_extractor")
    if backbone.trainable_layers:
        models.save(backbone.trainable_layers, path / "trainable_layers")


def load(path: Path) -> Backbone:
    """Return the backbone in the folder `path`, frozen. Raises SeedlingsError if there is none."""
    trainable = path / "trainable_layers"
    backbone = Backbone(
        models.load(path / "feature_extractor"),
        models.load(trainable) if trainable.exists() else None,
    )
    backbone.feature_extractor.trainable = False
    return backbone


def of_model(model: "keras.Model") -> Backbone:
    """Return the feature extractor of an assembled model as a backbone without trainable layers."""
    return Backbone(model.get_layer("feature_extractor"), None)


def _with_weights(application: Application, params: Extract, shape: Shape) -> "keras.Model":
    """Return the network of an application with the weights of the parameters."""
    if application.preset and params.checksum:
        hub.verify(application.preset, params.checksum)
    named = application.weights.get(params.weights)
    downloaded = params.weights if named and not named.file else None
    try:
        backbone = application.build(shape, params.width, downloaded)
    except SeedlingsError:
        raise
    except ValueError as error:
        raise SeedlingsError(
            f"extract.backbone {params.backbone} cannot take images of {shape[0]} x {shape[1]} "
            f"(segment.pixels): {error}"
        ) from error
    except Exception as error:
        if downloaded is None:
            raise
        raise SeedlingsError(  # Keras raises a plain Exception for a failed download
            f"the weights `{downloaded}` of {params.backbone} could not be downloaded: {error}\n"
            "There are two ways out: download the file on a machine with a network and set "
            "extract.weights to its path and extract.checksum to its checksum; or set "
            "extract.weights to `random`, for a backbone that is not pretrained"
        ) from error
    if named and (file := named.path()):
        path = _file(file, named.checksum, f"install {named.package or 'Seedlings'} again")
        _load(backbone, path, params, named.load or models.load_weights)
    elif params.weights not in (downloaded, "random"):
        path = _file(params.weights, params.checksum, "put the file there")
        _load(backbone, path, params, models.load_weights)
    return layers.replaced(backbone)


def _file(file: str, checksum: str | None, remedy: str) -> Path:
    """Return the path of a file of weights, by its path or URL, after a look at its checksum."""
    if file.startswith(("http://", "https://")):
        assert checksum is not None  # its section requires one
        return downloads.retrieve(file, checksum)
    try:
        downloads.verify(Path(file), checksum)
    except (SeedlingsError, OSError) as error:
        raise SeedlingsError(
            f"extract.weights: expected a file at {file} with its checksum, found another or none "
            f"({error})\nThere are two ways out: {remedy}, or set extract.weights to `random`, for "
            "a backbone that is not pretrained"
        ) from error
    return Path(file)


def _load(
    backbone: "keras.Model",
    path: Path,
    params: Extract,
    load: Callable[["keras.Model", Path], None],
) -> None:
    try:
        load(backbone, path)
    except ValueError as error:
        raise SeedlingsError(
            f"extract.weights: {path} does not hold the weights of {params.backbone} without its "
            f"top layers ({error}); the file must be a .h5 or .weights.h5 file of that network"
        ) from error


def _find_layer(backbone: "keras.Model", name: str, key: str) -> "keras.layers.Layer":
    layers_ = backbone.layers[1:]
    names = [layer.name for layer in layers_ if not isinstance(layer, keras.Model)]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=5, cutoff=0.5) or names[-8:]
        raise SeedlingsError(
            f"extract.{key}: the backbone has no layer {name!r}; "
            f"similar or last layers are {', '.join(close)} (the last of all is {names[-1]})"
        )
    return backbone.get_layer(name)


def _find_map(backbone: "keras.Model", name: str, key: str) -> "keras.layers.Layer":
    layer = _find_layer(backbone, name, key)
    if len(layer.output.shape) != 4:
        raise SeedlingsError(
            f"extract.{key}: expected a layer that returns maps (N x h x w x C), found {name}, "
            f"whose output is {layer.output.shape}; null means the last layer"
        )
    return layer


def _trainable_layers(
    backbone: "keras.Model",
    cut: "keras.layers.Layer",
    last: "keras.layers.Layer",
    params: Extract,
) -> "keras.Model | None":
    if cut is last:
        return None
    if backbone.layers.index(cut) > backbone.layers.index(last):
        raise SeedlingsError(
            f"extract.cut: expected a layer up to {last.name} (extract.last), found {cut.name}, "
            "which comes after it"
        )
    try:
        return keras.Model(cut.output, last.output, name="trainable_layers")
    except ValueError as error:
        raise SeedlingsError(
            f"extract.cut: {params.backbone} cannot be cut at {cut.name}, as a shortcut goes "
            "around it; cut at a layer without such a shortcut, for example at the end of a block"
        ) from error
