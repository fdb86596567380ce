"""Augmentations: random transformations of training images.

Each image of each epoch has its own random generator, so that a seed gives the same images in any
order and with any number of workers. The augmentation layers of Keras draw one order and one noise
level for a whole batch, and resample the image in every layer; here, one affine transformation does
all geometric changes.
"""

from collections.abc import Collection

import cv2
import numpy as np
from numpy.typing import NDArray

from seedlings.training.params import Augment

Image = NDArray[np.uint8]
Pixels = NDArray[np.float32]

_BORDERS = {
    "nearest": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "black": cv2.BORDER_CONSTANT,
}

# The values that do not change an image.
_NEUTRAL = {
    "rotation": 0.0,
    "shift": 0.0,
    "shear": 0.0,
    "zoom": 0.0,
    "flip_horizontal": 0.0,
    "flip_vertical": 0.0,
    "crop": 0.0,
    "blur": 0.0,
    "contrast": [1.0, 1.0],
    "noise": 0.0,
    "multiply": [1.0, 1.0],
    "random_crop": False,
}
_FLIPS = ("flip_horizontal", "flip_vertical")
_FLIP_CODES = {(1, 0): 1, (0, 1): 0, (1, 1): -1}  # of OpenCV, by horizontal and vertical
_GEOMETRY = ("rotation", "shift", "shear", "zoom", *_FLIPS)


class Augmentation:
    """Applies the augmentations of the parameters.

    `window` is the height and width of the centre crop inside the model, or None; `random_crop`
    moves a random crop of this size there. Alternating flips (Jordan 2024, arXiv:2404.00498) show
    an image and its flip in turn.
    """

    def __init__(self, params: Augment, window: tuple[int, int] | None, seed: int) -> None:
        self._params, self._window, self._seed = params, window, seed
        active = set(self.active)
        self._steps = [step for step, names in _STEPS.items() if active.intersection(names)]

    @property
    def active(self) -> list[str]:
        """Names of the parameters that change an image."""
        return [name for name, value in _NEUTRAL.items() if getattr(self._params, name) != value]

    def alone(self, name: str) -> "Augmentation":
        """Return an augmentation with only one of the parameters."""
        return self._without(_NEUTRAL.keys() - {name})

    def batch(self, images: NDArray[np.uint8], rows: NDArray[np.int64], epoch: int) -> Image:
        """Return images (N x H x W x 3, RGB uint8) augmented for an epoch; `rows` number them."""
        rest = self._without(_FLIPS) if self._params.alternating_flips else self
        return np.stack(
            [
                rest.one(
                    self._flipped(image, int(row), epoch),
                    _generator(self._seed, epoch, int(row)),
                )
                for image, row in zip(images, rows, strict=True)
            ]
        )

    def one(self, image: Image, rng: np.random.Generator) -> Image:
        """Return the augmented image, same shape and dtype; the given one if nothing is active."""
        steps = self._steps
        if self._params.random_order:
            steps = [steps[place] for place in rng.permutation(len(steps))]
        pixels: NDArray = image
        for step in steps:
            if step not in (_move, _crop):
                pixels = pixels.astype(np.float32, copy=False)
            pixels = step(pixels, self._params, rng)
        if pixels.dtype != np.uint8:
            np.clip(np.rint(pixels, out=pixels), 0, 255, out=pixels)
            pixels = pixels.astype(np.uint8)
        if self._window and "random_crop" in self.active:
            return _recentre(pixels, self._window, rng)
        return pixels

    def _flipped(self, image: Image, row: int, epoch: int) -> Image:
        """Return the image, or its flip, if flips alternate.

        The first flip is random. With both flips, four epochs have each combination once.
        """
        if not self._params.alternating_flips:
            return image
        number, horizontal = epoch + _first_flip(self._seed, row), 0
        if self._params.flip_horizontal:
            number, horizontal = divmod(number, 2)
        vertical = number % 2 if self._params.flip_vertical else 0
        code = _FLIP_CODES.get((horizontal, vertical))
        return image if code is None else cv2.flip(image, code)

    def _without(self, names: Collection[str]) -> "Augmentation":
        neutral = {name: _NEUTRAL[name] for name in names}
        return Augmentation(self._params.model_copy(update=neutral), self._window, self._seed)


def _first_flip(seed: int, row: int) -> int:
    # The last 1 makes the seed differ from those of the epochs.
    return int(_generator(seed, row, 0, 1).integers(4))


def _generator(*words: int) -> np.random.Generator:
    """Return the generator of a list of numbers below 2**32."""
    # NumPy takes an array of this type as it is, and converts the numbers of a list one by one.
    return np.random.default_rng(np.array(words, np.uint32))


def _move(image: NDArray, params: Augment, rng: np.random.Generator) -> NDArray:
    """Apply rotation, shear, zoom, shift and flips as one affine transformation."""
    height, width = image.shape[:2]
    angle = np.deg2rad(rng.uniform(-params.rotation, params.rotation))
    shear = rng.uniform(-params.shear, params.shear)
    zoom = rng.uniform(1.0 - params.zoom, 1.0 + params.zoom, 2)
    flip = np.where(rng.random(2) < (params.flip_horizontal, params.flip_vertical), -1.0, 1.0)
    shift = rng.uniform(-params.shift, params.shift, 2) * (width, height)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    matrix = turn @ np.array([[1.0, shear], [0.0, 1.0]]) * (zoom * flip)
    centre = np.array([width - 1.0, height - 1.0]) / 2.0
    moved = np.column_stack([matrix, centre - matrix @ centre + shift])
    return cv2.warpAffine(
        image, moved, (width, height), flags=cv2.INTER_LINEAR, borderMode=_BORDERS[params.fill]
    )


def _crop(image: Pixels, params: Augment, rng: np.random.Generator) -> Pixels:
    """Crop up to a share at each side, and resize the rest to the original size."""
    height, width = image.shape[:2]
    top, bottom = (rng.uniform(0.0, params.crop, 2) * height).astype(int)
    left, right = (rng.uniform(0.0, params.crop, 2) * width).astype(int)
    inner = image[top : height - bottom, left : width - right]
    return cv2.resize(inner, (width, height), interpolation=cv2.INTER_LINEAR)


def _blur(pixels: Pixels, params: Augment, rng: np.random.Generator) -> Pixels:
    sigma = rng.uniform(0.0, params.blur)
    if rng.random() >= params.blur_probability or sigma < 1e-3:
        return pixels
    return cv2.GaussianBlur(pixels, (0, 0), sigma)


def _contrast(pixels: Pixels, params: Augment, rng: np.random.Generator) -> Pixels:
    """Multiply the differences from the grey value 128."""
    return (pixels - 128.0) * _between(params.contrast, rng) + 128.0


def _noise(pixels: Pixels, params: Augment, rng: np.random.Generator) -> Pixels:
    """Add Gaussian noise (standard deviation up to 255 x `noise`), equal or not in all channels."""
    channels = pixels.shape[2] if rng.random() < params.noise_per_channel else 1
    sigma = _between([0.0, params.noise * 255.0], rng)
    return pixels + sigma * rng.standard_normal((*pixels.shape[:2], channels), np.float32)


def _multiply(pixels: Pixels, params: Augment, rng: np.random.Generator) -> Pixels:
    channels = pixels.shape[2] if rng.random() < params.multiply_per_channel else 1
    return pixels * _between(params.multiply, rng, channels)


def _between(ends: list[float], rng: np.random.Generator, count: int = 1) -> Pixels:
    low, high = ends
    return rng.uniform(low, high, count).astype(np.float32)


def _recentre(image: Image, window: tuple[int, int], rng: np.random.Generator) -> Image:
    """Move a random crop to the centre, where the centre crop of the model takes it."""
    height, width = image.shape[:2]
    top = rng.integers(0, height - window[0] + 1)
    left = rng.integers(0, width - window[1] + 1)
    y, x = (height - window[0]) // 2, (width - window[1]) // 2
    centred = np.zeros_like(image)
    centred[y : y + window[0], x : x + window[1]] = image[
        top : top + window[0], left : left + window[1]
    ]
    return centred


# In their order, each with the parameters that need it.
_STEPS = {
    _move: _GEOMETRY,
    _crop: ("crop",),
    _blur: ("blur",),
    _contrast: ("contrast",),
    _noise: ("noise",),
    _multiply: ("multiply",),
}
