"""VGG16 with narrower layers: the layers and names of keras.applications.VGG16, fewer filters."""

from collections.abc import Callable
from typing import Any

from seedlings.networks.runtime import keras

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # filters and convolutions

Convolution = Callable[[Any, int, str], Any]


def build(
    shape: tuple[int | None, int | None, int], width: float, convolution: Convolution | None = None
) -> "keras.Model":
    """Return VGG16 without its top (Simonyan and Zisserman 2014, arXiv 1409.1556, table 1, D).

    Maps images of `shape` (N x H x W x C, preprocessed, float32) to N x H/32 x W/32 x 512 `width`.
    Every layer has `width` times the filters of VGG16, at least one. `convolution` (input, filters,
    name) replaces the layers of 3 x 3 with ReLU.

    Raises ValueError for images smaller than 32 x 32.
    """
    if min(size or 32 for size in shape[:2]) < 32:
        raise ValueError(f"expected images of at least 32 x 32, found {shape[0]} x {shape[1]}")
    convolution = convolution or _convolution
    images = keras.Input(shape, name="images")  # the name is in files of weights
    x = images
    for number, (filters, layers) in enumerate(_BLOCKS, start=1):
        for layer in range(1, layers + 1):
            x = convolution(x, max(1, round(filters * width)), f"block{number}_conv{layer}")
        x = keras.layers.MaxPooling2D(2, name=f"block{number}_pool")(x)
    return keras.Model(images, x, name="vgg16")


def _convolution(x: Any, filters: int, name: str) -> Any:
    return keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)


def preprocess(images: Any) -> Any:
    """Return images (RGB, 0 to 255, float32) as VGG16 expects them: BGR minus ImageNet's means."""
    return keras.applications.vgg16.preprocess_input(images)
