"""Augmentations: random transformations of training images.

Each image of each epoch has its own random generator, so that a seed gives the same images in any
order and with any number of workers. The augmentation layers of Keras draw one order and one noise
level for a whole batch, and resample the image in every layer; here, one affine transformation does
all geometric changes. `transformations` has the operations.
"""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seedlings.training.transformations import Augment

Image = NDArray[np.uint8]

_FLIPS = {"flip_horizontal": 0.0, "flip_vertical": 0.0}
_FLIP_CODES = {(1, 0): 1, (0, 1): 0, (1, 1): -1}  # of OpenCV, by horizontal and vertical


class Augmentation:
    """Applies the augmentations of the parameters.

    `window` is the height and width of the centre crop inside the model, or None; `random_crop`
    moves a random crop of this size there. Alternating flips (Jordan 2024, arXiv:2404.00498) show
    an image and its flip in turn.
    """

    def __init__(self, params: Augment, window: tuple[int, int] | None, seed: int) -> None:
        self._params, self._window, self._seed = params, window, seed
        every = params.transformations()
        self._steps = [step for step in every if _active(params, step.neutral)]
        self._neutral = {key: value for step in every for key, value in step.neutral.items()}
        self._neutral["random_crop"] = False

    @property
    def active(self) -> list[str]:
        """Names of the parameters that change an image."""
        return _active(self._params, self._neutral)

    def alone(self, name: str) -> "Augmentation":
        """Return an augmentation with only one of the parameters."""
        return self._with({key: value for key, value in self._neutral.items() if key != name})

    def batch(self, images: NDArray[np.uint8], rows: NDArray[np.int64], epoch: int) -> Image:
        """Return images (N x H x W x 3, RGB uint8) augmented for an epoch; `rows` number them."""
        rest = self._with(_FLIPS) if self._params.alternating_flips else self
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
            if not step.takes_integers:
                pixels = pixels.astype(np.float32, copy=False)
            pixels = step.apply(self._params, pixels, rng)
        if pixels.dtype != np.uint8:
            np.clip(np.rint(pixels, out=pixels), 0, 255, out=pixels)
            pixels = pixels.astype(np.uint8)
        if self._window and self._params.random_crop:
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

    def _with(self, values: Mapping[str, Any]) -> "Augmentation":
        return Augmentation(self._params.model_copy(update=values), self._window, self._seed)


def _active(params: Augment, neutral: Mapping[str, Any]) -> list[str]:
    return [name for name, value in neutral.items() if getattr(params, name) != value]


def _first_flip(seed: int, row: int) -> int:
    # The last 1 makes the seed differ from those of the epochs.
    return int(_generator(seed, row, 0, 1).integers(4))


def _generator(*words: int) -> np.random.Generator:
    """Return the generator of a list of numbers below 2**32."""
    # NumPy takes an array of this type as it is, and converts the numbers of a list one by one.
    return np.random.default_rng(np.array(words, np.uint32))


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
