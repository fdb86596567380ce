"""Saliency maps: the parts of an image on which a prediction depends."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray

from seedlings.explain import gradients
from seedlings.explain.gradients import Pixels
from seedlings.explain.params import Explain
from seedlings.networks.runtime import keras, tf
from seedlings.tasks import Direction

Image = NDArray[np.uint8]
Heat = NDArray[np.float32]  # H x W, 0..1

_BATCH = 8  # oneDNN splits the convolutions of a single image by the size of the processor's cache


class Explainer:
    """Saliency maps of a differentiable model, for the output with the highest score."""

    def __init__(self, model: "keras.Model", directions: Sequence[Direction]) -> None:
        self._model = model
        self._gradient = gradients.gradient(model)
        self._maps, self._rest = gradients.last_maps(model)
        self._window = gradients.window(model)
        self._units = np.array([unit for _, unit, _ in directions])
        self._signs = np.array([sign for _, _, sign in directions], np.float32)

    def overlays(self, image: Image, params: Explain, seed: int) -> list[Image]:
        """Return both maps (SmoothGrad, Grad-CAM) of an image, drawn over the image."""
        maps = self.smoothgrad(image, params, seed), self.grad_cam(image)
        return [overlay(image, heat) for heat in maps]

    def smoothgrad(self, image: Image, params: Explain, seed: int) -> Heat:
        """Return the SmoothGrad map (H x W, 0..1): the mean gradient of noisy copies of the image.

        The image is H x W x 3, RGB uint8. The method is that of Smilkov et al. (2017).
        """
        pixels = image.astype(np.float32)
        unit, sign = self._highest(pixels)
        samples = params.smoothgrad_samples
        deviation = params.smoothgrad_noise * float(np.ptp(pixels))
        noise = np.random.default_rng(seed).normal(0.0, deviation, (samples, *pixels.shape))
        noisy = pixels + noise.astype(np.float32)
        units, signs = np.full(samples, unit), np.full(samples, sign)
        _, slopes = self._gradient(noisy, units, signs)
        return _normalized(np.abs(slopes.mean(axis=0)).max(axis=-1))

    def grad_cam(self, image: Image) -> Heat:
        """Return the Grad-CAM map (H x W, 0..1): channels of the last map, weighted by gradients.

        The image is H x W x 3, RGB uint8. The method is that of Selvaraju et al. (2017). With
        pooled features, it is the sum of the maps of their layers.
        """
        pixels = image.astype(np.float32)
        unit, sign = self._highest(pixels)
        heat = np.maximum(_sum(self.contributions(pixels, unit, sign)), 0.0)
        top, left, height, width = self._window
        whole = np.zeros(pixels.shape[:2], np.float32)
        whole[top : top + height, left : left + width] = cv2.resize(
            heat,
            (width, height),
            interpolation=cv2.INTER_LINEAR,  # cubic differs by processor
        )
        return _normalized(whole)

    def contributions(self, pixels: Pixels, unit: np.int64, sign: np.float32) -> list[Heat]:
        """Return for each map (h x w) what its places contribute to the score of an output.

        The contribution of a place is the sum of its channels, weighted by the means of their
        gradients over the places. Of a linear model of pooled features, all contributions add up to
        the score but for a constant (Zhou et al. 2016).
        """
        every = self._maps(np.repeat(pixels[None], _BATCH, axis=0), training=False)
        maps = tf.nest.map_structure(lambda one: one[:1], every)
        with tf.GradientTape() as tape:
            tape.watch(maps)
            score = sign * self._rest(maps, training=False)[0, unit]
        found = []
        both = tf.nest.flatten(maps), tf.nest.flatten(tape.gradient(score, maps))
        for values, slopes in zip(*both, strict=True):
            weights = tf.reduce_mean(slopes, axis=(1, 2), keepdims=True)
            found.append(np.asarray(tf.reduce_sum(weights * values, axis=-1))[0])
        return found

    def _highest(self, pixels: Pixels) -> tuple[np.int64, np.float32]:
        """Return the output with the highest score, and its sign."""
        scores = np.asarray(self._model(pixels[None], training=False))[0]
        highest = int(np.argmax(self._signs * scores[self._units]))
        return self._units[highest], self._signs[highest]


def overlay(image: Image, heat: Heat) -> Image:
    """Return a map over its image in grey; warm colours are high values. All are RGB uint8."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colours = matplotlib.colormaps["inferno"](heat)[:, :, :3] * 255.0
    strength = 0.25 + 0.6 * heat[:, :, None]
    return np.round((1.0 - strength) * grey + strength * colours).astype(np.uint8)


def share_inside(heat: Heat, mask: NDArray[np.bool_]) -> float:
    """Return the share (0..1) of the sum of a map that is inside a mask (H x W)."""
    return float(heat[mask].sum() / heat.sum()) if heat.any() else 0.0


def _sum(maps: Sequence[Heat]) -> Heat:
    """Return the sum of maps, resized to the largest of them with the sum of their values kept."""
    height, width = max((part.shape for part in maps), key=math.prod)
    total = np.zeros((height, width), np.float32)
    for part in maps:
        larger = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
        total += larger * np.float32(part.size / total.size)
    return total


def _normalized(values: NDArray[Any]) -> Heat:
    """Return values scaled to 0..1 by their 99th percentile, which limits outliers."""
    high = max(float(np.quantile(values, 0.99)), 1e-12)
    return np.clip(values / high, 0.0, 1.0).astype(np.float32)
