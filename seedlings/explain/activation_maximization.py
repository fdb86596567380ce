"""Activation maximisation: images that maximise the activation of a filter or an output.

The method is gradient ascent on the pixels (Erhan et al. 2009; Simonyan et al. 2014). Jitter and
blur suppress high frequencies (Mordvintsev et al. 2015).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seedlings.errors import SeedlingsError
from seedlings.explain import gradients
from seedlings.explain.gradients import Gradient, Pixels
from seedlings.explain.params import Explain
from seedlings.io.progress import bar
from seedlings.networks.runtime import keras
from seedlings.tasks import Direction

_LAYERS = 3
_FILTERS = 4
_GREY, _NOISE = 128.0, 20.0
_MEAN, _DEVIATION = 0.5, 0.1


@dataclass(frozen=True, slots=True)
class MaximizedImage:
    """An image (H x W x 3, RGB uint8) that maximises an activation, and the activation."""

    layer: str
    name: str
    image: NDArray[np.uint8]
    start: float  # the mean activation, or the score, of the noise at the start
    end: float

    @property
    def is_inactive(self) -> bool:
        """Return whether the activation is 0 at the start and at the end."""
        return self.start == self.end == 0.0


def summarize(found: Sequence[MaximizedImage]) -> dict[str, float]:
    """Return the mean activation of the images of each layer, at the start and at the end."""
    numbers = {}
    for layer in dict.fromkeys(image.layer for image in found):
        own = [image for image in found if image.layer == layer]
        numbers[f"{layer}/start"] = float(np.mean([image.start for image in own]))
        numbers[f"{layer}/end"] = float(np.mean([image.end for image in own]))
    return numbers


def of_filters(model: "keras.Model", params: Explain, seed: int) -> list[MaximizedImage]:
    """Return the images that maximise filters, layer by layer.

    `model` comes from gradients.differentiable. Raises SeedlingsError for a layer or a filter that
    it does not have.
    """
    found = []
    for layer, filters in _chosen(model, params, seed).items():
        part = gradients.up_to_layer(model, layer)
        _check(layer, filters, part)
        goals = [(f"filter {number}", number, 1.0) for number in filters]
        found += _ascend(part, layer, goals, rate=params.rate, params=params, seed=seed)
    return found


def of_outputs(
    model: "keras.Model", directions: Sequence[Direction], params: Explain, seed: int
) -> list[MaximizedImage]:
    """Return the images that maximise the outputs: classes, tags, or a high and a low value."""
    goals = directions[: params.classes]
    return _ascend(model, "output", goals, rate=params.class_rate, params=params, seed=seed)


def _chosen(model: "keras.Model", params: Explain, seed: int) -> dict[str, list[int]]:
    """Return filters by layer: those in `params`, or some of the first, middle and last layer."""
    if params.filters is not None:
        return {layer: list(numbers) for layer, numbers in params.filters.items()}
    layers = gradients.convolutions(model)
    places = np.linspace(0, len(layers) - 1, min(_LAYERS, len(layers))).round().astype(int)
    return {layers[n]: _spread(gradients.up_to_layer(model, layers[n]), seed) for n in places}


def _spread(part: "keras.Model", seed: int) -> list[int]:
    """Return some filters of the last layer, of those active on the noise if they are enough."""
    noise = _noise(part, np.random.default_rng(seed))
    maps = np.asarray(part(noise[None], training=False))
    active = np.flatnonzero(maps.any(axis=(0, 1, 2)))
    count = min(_FILTERS, maps.shape[-1])
    filters = active if len(active) >= count else np.arange(maps.shape[-1])
    return filters[np.linspace(0, len(filters) - 1, count).round().astype(int)].tolist()


def _noise(part: "keras.Model", rng: np.random.Generator) -> Pixels:
    """Return the image (H x W x 3, float32) from which the gradient ascent starts."""
    noise = _GREY + _NOISE * rng.uniform(-0.5, 0.5, part.input_shape[1:])
    return noise.astype(np.float32)


def _check(layer: str, filters: list[int], part: "keras.Model") -> None:
    count = part.output_shape[-1]
    if max(filters, default=0) >= count:
        raise SeedlingsError(
            f"explain.filters.{layer}: expected numbers below {count}, the layer's filters, "
            f"found {max(filters)}"
        )


def _ascend(
    part: "keras.Model",
    layer: str,
    goals: Sequence[Direction],
    *,
    rate: float,
    params: Explain,
    seed: int,
) -> list[MaximizedImage]:
    """Return the maximised images of all filters or outputs of a layer, from the same noise."""
    if not goals:
        return []
    gradient = gradients.gradient(part)
    rng = np.random.default_rng(seed)
    images = np.stack([_noise(part, rng)] * len(goals))
    units = np.array([unit for _, unit, _ in goals])
    signs = np.array([sign for _, _, sign in goals], np.float32)
    start = signs * gradient(images, units, signs)[0]
    for _ in bar(range(params.steps), f"explain {layer}", unit="step"):
        images = _step(images, gradient, units, signs, rate=rate, params=params, rng=rng)
    end = signs * gradient(images, units, signs)[0]
    return [
        MaximizedImage(layer, name, _shown(image), float(low), float(high))
        for (name, _, _), image, low, high in zip(goals, images, start, end, strict=True)
    ]


def _step(
    images: Pixels,
    gradient: Gradient,
    units: NDArray[np.int64],
    signs: NDArray[np.float32],
    *,
    rate: float,
    params: Explain,
    rng: np.random.Generator,
) -> Pixels:
    """Return the images after one step of gradient ascent, normalised by the gradient's RMS."""
    shift = rng.integers(-params.jitter, params.jitter + 1, 2)
    _, slope = gradient(np.roll(images, shift, (1, 2)), units, signs)
    slope = np.roll(slope, -shift, (1, 2))
    size = np.sqrt((slope**2).mean(axis=(1, 2, 3), keepdims=True))
    moved = images + rate * slope / np.maximum(size, 1e-12)
    if params.blur:
        moved = np.stack([cv2.GaussianBlur(image, (0, 0), params.blur) for image in moved])
    return moved


def _shown(image: Pixels) -> NDArray[np.uint8]:
    """Return the image as uint8, standardised to mean 0.5 and standard deviation 0.1 (of 0..1)."""
    standard = (image - image.mean()) / max(float(image.std()), 1e-7)
    return np.round(255.0 * np.clip(_MEAN + _DEVIATION * standard, 0.0, 1.0)).astype(np.uint8)
