"""Whitening: a first convolution whose outputs are decorrelated before training.

Its filters are the principal components of patches of training images, each divided by its standard
deviation, and then the negatives of the first ones (Jordan 2024, arXiv:2404.00498, section 3.2).
"""

import numpy as np
from numpy.typing import NDArray

from seedlings.networks.runtime import keras, tf

_IMAGES = 256
_STRIDE = 4  # pixels between two patches
_CONSTANT = 0.01  # added to the variances, as in airbench: little noise is not amplified
_PRECISION = 512  # pixels are rounded to multiples of 1/512, whose sums are exact in any order


def whiten(model: "keras.Model", images: NDArray[np.uint8], seed: int) -> None:
    """Set the kernel of the first convolution of an assembled model, from scratch, in place.

    `images` (N x H x W x 3, RGB) are those of training, of which at most 256 are drawn by the seed.
    Filters beyond twice the number of components keep their random values.
    """
    layers = model.get_layer("head").layers
    first = next(layer for layer in layers if isinstance(layer, keras.layers.Conv2D))
    height, width, channels, filters = first.kernel.shape
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(images))[:_IMAGES])
    pixels = np.asarray(model.get_layer("feature_extractor")(images[rows]))
    components = _components(_patches(pixels, height, width))
    chosen = np.concatenate([components, -components])[:filters].T
    kernel = first.get_weights()[0].copy()
    kernel[..., : chosen.shape[1]] = chosen.reshape(height, width, channels, -1)
    first.kernel.assign(kernel)


def _patches(pixels: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """Return patches (N x height * width * channels) of images (N x H x W x channels)."""
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (height, width), axis=(1, 2))
    chosen = windows[:, ::_STRIDE, ::_STRIDE].transpose(0, 1, 2, 4, 5, 3)
    return chosen.reshape(-1, height * width * pixels.shape[3]).astype(np.float64)


def _components(patches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the principal components of patches (N x n), as rows (n x n), scaled."""
    rounded = np.rint(patches * _PRECISION)
    mean = rounded.sum(axis=0) / len(rounded)
    covariance = (rounded.T @ rounded / len(rounded) - np.outer(mean, mean)) / _PRECISION**2
    # The function of TensorFlow has one implementation for all processors; that of NumPy does not.
    values, vectors = (np.asarray(part) for part in tf.linalg.eigh(covariance))
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(len(values))])
    return (vectors * signs / np.sqrt(values + _CONSTANT))[:, ::-1].T
