"""Progressive resizing: a network from scratch trains on smaller images first.

Convolutions take images of any size, and a small one costs a fraction of the time (Tan and Le 2021,
EfficientNetV2, section 4.2). Images are resized inside the model, and only in training, so that
one compiled training step takes every size, and validation has the full size.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from seedlings.errors import SeedlingsError
from seedlings.networks.runtime import keras, tf
from seedlings.training.params import Progressive


class Resizing(keras.layers.Layer):
    """Resizes images (N x H x W x 3, uint8) in training, to `size`, by the mean of areas."""

    def __init__(self, full: tuple[int, int]) -> None:
        super().__init__(name="resizing", dtype="uint8")
        self.size = self.add_weight(
            shape=(2,), initializer="zeros", dtype="int32", trainable=False, name="size"
        )
        self.size.assign(full)

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Return the images (N x h x w x 3, uint8)."""
        if not training:
            return images
        resized = tf.image.resize(images, self.size.value, method="area")
        return tf.cast(tf.round(resized), tf.uint8)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return N x any x any x 3."""
        return (input_shape[0], None, None, input_shape[3])


class Sizes(keras.callbacks.Callback):
    """Sets the size of each epoch: the sizes in equal parts of `share`, then the full size."""

    def __init__(self, params: Progressive, full: tuple[int, int]) -> None:
        super().__init__()
        self._params, self._full = params, full

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Set the size of the epoch."""
        size = size_of(epoch, self.params["epochs"], self._params) or self._full
        self.model.get_layer("resizing").size.assign(size)


def size_of(epoch: int, epochs: int, params: Progressive) -> tuple[int, ...] | None:
    """Return height and width of the images of an epoch, from 0; None for the full size.

    The last epoch has the full size.
    """
    small = min(round(params.share * epochs), epochs - 1)
    if not params.sizes or epoch >= small:
        return None
    return tuple(params.sizes[epoch * len(params.sizes) // small])


@contextmanager
def any_size(parts: Sequence["keras.Model"], params: Progressive) -> Iterator[None]:
    """Let the parts of an assembled model take images of the sizes, not of the full size alone.

    Raises SeedlingsError if a size is too small for the network.
    """
    if not params.sizes:
        yield
        return
    specs = [part.input_spec for part in parts]
    try:
        for part in parts:
            part.input_spec = None  # which has the full size
        _check(parts, params)
        yield
    finally:
        for part, spec in zip(parts, specs, strict=True):
            part.input_spec = spec


def _check(parts: Sequence["keras.Model"], params: Progressive) -> None:
    for height, width in params.sizes:
        try:
            x = keras.KerasTensor((1, height, width, 3), dtype="uint8")
            for part in parts:
                x = part(x)
        except ValueError as error:
            raise SeedlingsError(
                f"finetune.progressive.sizes: {height} x {width} is too small for the network "
                f"({str(error).partition(chr(10))[0]})"
            ) from error
