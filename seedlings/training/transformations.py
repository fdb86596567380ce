"""Transformations: the random changes of a training image, one class each.

A class has the parameters in `finetune.augment` that it needs, and the operation on an image; the
section `Augment` inherits from all of them. The parameters are checked by every command, so NumPy
and OpenCV are imported with the first image.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from seedlings.config.params import NotNegative, Probability, Range, Section, Share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Transformation(Section):
    """A random change of an image."""

    neutral: ClassVar[Mapping[str, Any]]  # the values of parameters that do not change an image
    takes_integers: ClassVar[bool] = False  # whether `apply` takes uint8 as well as float32

    def apply(self, pixels: "NDArray", rng: "np.random.Generator") -> "NDArray":
        """Return the changed image, with the same shape; pixels (H x W x 3, RGB) are 0 to 255."""
        raise NotImplementedError


class Move(Transformation):
    """Rotation, shear, zoom, shift and flips, as one affine transformation."""

    rotation: Annotated[float, Field(ge=0.0, le=180.0)]
    shift: Share
    shear: Share
    zoom: Share
    flip_horizontal: Probability
    flip_vertical: Probability
    alternating_flips: bool  # by `Augmentation`, which knows the epoch
    fill: Literal["nearest", "reflect", "black"]
    neutral: ClassVar = {
        "rotation": 0.0,
        "shift": 0.0,
        "shear": 0.0,
        "zoom": 0.0,
        "flip_horizontal": 0.0,
        "flip_vertical": 0.0,
    }
    takes_integers: ClassVar = True

    @model_validator(mode="after")
    def _alternating_flips_are_half_of_all(self) -> Self:
        flips = {self.flip_horizontal, self.flip_vertical}
        if self.alternating_flips and not (0.5 in flips and flips <= {0.0, 0.5}):
            raise ValueError(
                "flip_horizontal and flip_vertical each 0.5 or 0.0, at least one 0.5, with "
                f"alternating_flips, found {self.flip_horizontal} and {self.flip_vertical}"
            )
        return self

    def apply(self, pixels: "NDArray", rng: "np.random.Generator") -> "NDArray":
        """Return the moved image; `fill` says what is beyond its edges."""
        import cv2
        import numpy as np

        height, width = pixels.shape[:2]
        angle = np.deg2rad(rng.uniform(-self.rotation, self.rotation))
        shear = rng.uniform(-self.shear, self.shear)
        zoom = rng.uniform(1.0 - self.zoom, 1.0 + self.zoom, 2)
        flip = np.where(rng.random(2) < (self.flip_horizontal, self.flip_vertical), -1.0, 1.0)
        shift = rng.uniform(-self.shift, self.shift, 2) * (width, height)
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        matrix = turn @ np.array([[1.0, shear], [0.0, 1.0]]) * (zoom * flip)
        centre = np.array([width - 1.0, height - 1.0]) / 2.0
        moved = np.column_stack([matrix, centre - matrix @ centre + shift])
        borders = {
            "nearest": cv2.BORDER_REPLICATE,
            "reflect": cv2.BORDER_REFLECT_101,
            "black": cv2.BORDER_CONSTANT,
        }
        return cv2.warpAffine(
            pixels, moved, (width, height), flags=cv2.INTER_LINEAR, borderMode=borders[self.fill]
        )


class Crop(Transformation):
    """A crop of up to a share at each side, resized to the original size."""

    crop: Annotated[float, Field(ge=0.0, lt=0.5)]
    neutral: ClassVar = {"crop": 0.0}
    takes_integers: ClassVar = True

    def apply(self, pixels: "NDArray", rng: "np.random.Generator") -> "NDArray":
        """Return the crop in the size of the image."""
        import cv2

        height, width = pixels.shape[:2]
        top, bottom = (rng.uniform(0.0, self.crop, 2) * height).astype(int)
        left, right = (rng.uniform(0.0, self.crop, 2) * width).astype(int)
        inner = pixels[top : height - bottom, left : width - right]
        return cv2.resize(inner, (width, height), interpolation=cv2.INTER_LINEAR)


class Blur(Transformation):
    """Gaussian blur of some of the images."""

    blur: NotNegative
    blur_probability: Probability
    neutral: ClassVar = {"blur": 0.0}

    def apply(self, pixels: "NDArray", rng: "np.random.Generator") -> "NDArray":
        """Return the blurred image."""
        import cv2

        sigma = rng.uniform(0.0, self.blur)
        if rng.random() >= self.blur_probability or sigma < 1e-3:
            return pixels
        return cv2.GaussianBlur(pixels, (0, 0), sigma)


class Contrast(Transformation):
    """A factor of the differences from the grey value 128."""

    contrast: Range
    neutral: ClassVar = {"contrast": [1.0, 1.0]}

    def apply(self, pixels: "NDArray", rng: "np.random.Generator") -> "NDArray":
        """Return the image with another contrast."""
        return (pixels - 128.0) * _between(self.contrast, rng) + 128.0


class Noise(Transformation):
    """Gaussian noise, equal or not in all channels."""

    noise: NotNegative
    noise_per_channel: Probability
    neutral: ClassVar = {"noise": 0.0}

    def apply(self, pixels: "NDArray", rng: "np.random.Generator") -> "NDArray":
        """Return the image with noise of a standard deviation up to 255 x `noise`."""
        channels = pixels.shape[2] if rng.random() < self.noise_per_channel else 1
        sigma = _between([0.0, self.noise * 255.0], rng)
        return pixels + sigma * rng.standard_normal((*pixels.shape[:2], channels), "float32")


class Multiply(Transformation):
    """A factor of the values, equal or not in all channels."""

    multiply: Range
    multiply_per_channel: Probability
    neutral: ClassVar = {"multiply": [1.0, 1.0]}

    def apply(self, pixels: "NDArray", rng: "np.random.Generator") -> "NDArray":
        """Return the brighter or darker image."""
        channels = pixels.shape[2] if rng.random() < self.multiply_per_channel else 1
        return pixels * _between(self.multiply, rng, channels)


class Augment(Multiply, Noise, Contrast, Blur, Crop, Move):
    """The section `finetune.augment`: all transformations, the last of which is applied first."""

    random_crop: bool
    random_order: bool

    @classmethod
    def transformations(cls) -> list[type[Transformation]]:
        """Return the transformations in the order in which they are applied."""
        return [base for base in reversed(cls.__mro__) if "neutral" in vars(base)]


def _between(ends: list[float], rng: "np.random.Generator", count: int = 1) -> "NDArray":
    low, high = ends
    return rng.uniform(low, high, count).astype("float32")
