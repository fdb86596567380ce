"""Test-time augmentation: flipped and turned copies of an image, whose outputs are averaged."""

from typing import Any

from seedlings.networks import architectures, layers
from seedlings.networks.runtime import keras

_ROWS, _COLUMNS = 1, 2  # axes of N x H x W x C
_STACKED = "tta"


def averaged(model: "keras.Model", count: int) -> "keras.Model":
    """Return an assembled model whose outputs are the means over `count` copies of each image.

    Both models map images (N x H x W x 3, RGB uint8) to outputs (N x units), and share the layers
    `feature_extractor` and `head`. The copies are the image, its mirror image (2), both upside down
    (4), and all four transposed (8: all turns by 90 degrees, and their mirror images). With 1, the
    model itself is returned. The copies run one after another, so that the memory does not grow.

    Raises ValueError for 8 copies of images that are not square.
    """
    if count == 1:
        return model
    images = keras.Input(model.input_shape[1:], dtype="uint8", name="image")
    outputs = [_outputs(model, copy) for copy in _copies(images, count)]
    return keras.Model(images, _mean(outputs), name=model.name)


def with_more_outputs(model: "keras.Model", head: "keras.Model") -> "keras.Model":
    """Return an assembled model, of one or several copies, with further outputs.

    `head` has several outputs for features: those of the model's head, and further ones, which are
    those of the image as it is. The feature extractor runs once for each copy.
    """
    images = keras.Input(model.input_shape[1:], dtype="uint8", name="image")
    outputs, *more = head(model.get_layer("feature_extractor")(images))
    copies = _copies(images, count(model))[1:]
    if copies:
        outputs = _mean([outputs, *(_outputs(model, copy) for copy in copies)])
    return keras.Model(images, [outputs, *more], name=model.name)


def count(model: "keras.Model") -> int:
    """Return the number of copies that a model averages; 1 without test-time augmentation."""
    names = [layer.name for layer in model.layers]
    return int(model.get_layer(_STACKED).output.shape[1]) if _STACKED in names else 1


def apart(model: "keras.Model") -> "keras.Model":
    """Return a model with the outputs before they are averaged (N x copies x units)."""
    return keras.Model(model.input, model.get_layer(_STACKED).output)


def alone(model: "keras.Model") -> "keras.Model":
    """Return the assembled model, with the same layers, that takes each image as it is."""
    extractor, head = model.get_layer("feature_extractor"), model.get_layer("head")
    return architectures.assemble(extractor, head) if count(model) > 1 else model


def _outputs(model: "keras.Model", images: Any) -> Any:
    return model.get_layer("head")(model.get_layer("feature_extractor")(images))


def _mean(outputs: list[Any]) -> Any:
    stacked = keras.layers.Concatenate(axis=1, name=_STACKED)(
        [keras.layers.Reshape((1, -1))(output) for output in outputs]
    )
    return keras.layers.GlobalAveragePooling1D(name="average")(stacked)


def _copies(images: Any, count: int) -> list[Any]:
    copies = [images]
    if count >= 2:
        copies += [keras.ops.flip(copy, _COLUMNS) for copy in copies]
    if count >= 4:
        copies += [keras.ops.flip(copy, _ROWS) for copy in copies]
    if count >= 8:
        height, width = images.shape[1:3]
        if height != width:
            raise ValueError(f"expected square images for 8 copies, found {height} x {width}")
        copies += [layers.Transposition()(copy) for copy in copies]
    return copies
