"""Distances: how far an image is from the images of training, in the features of the network.

An image is out-of-distribution if it is farther from the nearest training image than almost all
validation images (nearest neighbours: Sun, Ming, Zhu and Li 2022, arXiv:2204.06507). The features
are those that the head takes from an image, as one row, standardised. The confidence of the
network does not tell: an image of something else can have a high one.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.io import split_table, store
from seedlings.networks import architectures, layers, models, tta
from seedlings.networks.features import of_model
from seedlings.networks.runtime import keras
from seedlings.packaging import bundle
from seedlings.training import batches

Rows = NDArray[np.float32]  # images x features

_BATCH = 32
_MOST_ROWS = 512  # of training images; measured: more separate no better
_MOST_BYTES = 4 * 2**20  # of their features
_MARGIN = 1e-5  # of a distance, more than the last bits that differ between batches
_ROUNDING = 1e-9  # of a product that is a whole number, such as 100 * (1 - 0.01)


def reference(
    model: "keras.Model", features: Path, images: Path, table: pd.DataFrame, *, seed: int
) -> Rows:
    """Return the features of training images that are drawn by the seed: at most 512, and 4 MiB.

    `features` and `images` are the stored arrays, with a row for each row of the split table.
    """
    training = split_table.rows(table, "train")
    network = row_of(architectures.head_of(model))
    drawn = np.random.default_rng(seed).permutation(training)[: _most(network)]
    return np.concatenate([*_computed(network, model, features, images, np.sort(drawn))])


def _most(row: "keras.Model") -> int:
    """Return how many images a bundle has the features of."""
    return min(_MOST_ROWS, max(1, _MOST_BYTES // (4 * row.output_shape[1])))


def validation(
    model: "keras.Model", features: Path, images: Path, table: pd.DataFrame, *, seed: int
) -> tuple[Rows, NDArray[np.float32]]:
    """Return the features and the outputs of validation images that are drawn by the seed.

    They are as many as those of `reference` at most, and of each group there is one, because images
    of a group are one observation.
    """
    rows = split_table.rows(table, "validation")
    alone = table.iloc[rows].drop_duplicates("group").index.to_numpy()
    head = architectures.head_of(model)
    row = row_of(head)
    drawn = np.sort(np.random.default_rng(seed).permutation(alone)[: _most(row)])
    found = np.concatenate([*_computed(row, model, features, images, drawn)])
    if tta.count(model) == 1:
        return found, np.concatenate([*_computed(head, model, features, images, drawn)])
    run = models.compiled(model)
    with store.unpacked(images, drawn) as whole:
        parts = [run(whole[start : start + _BATCH]) for start in range(0, len(whole), _BATCH)]
    return found, np.concatenate(parts)


def of_split(
    model: "keras.Model",
    reference: Rows,
    features: Path,
    images: Path,
    table: pd.DataFrame,
    *,
    split: str,
) -> NDArray[np.float32]:
    """Return the distance of each image of one split; see `with_distances`."""
    row = row_of(architectures.head_of(model))
    network = keras.Model(row.input, _distance(reference)(row.output))
    rows = split_table.rows(table, split)
    return np.concatenate([*_computed(network, model, features, images, rows)])[:, 0]


def share_beyond(
    model: "keras.Model",
    package: Path,
    features: Path,
    images: Path,
    table: pd.DataFrame,
    *,
    split: str,
) -> float:
    """Return the share of one split that the model of a package names out-of-distribution."""
    known = bundle.read_reference(package)
    found = of_split(model, known, features, images, table, split=split)
    return float((found > bundle.read(package).largest_distance).mean())


def threshold(distances: NDArray[np.floating], share: float) -> tuple[float, float]:
    """Return the largest distance that counts as in-distribution, and the share within it.

    The distance is a quantile of those of the n validation images: number ceil((n + 1) * (1 -
    share)) in order. Of other images like these, at most `share` are expected to be farther, a
    share that is returned exactly (Vovk, Gammerman and Shafer 2005, section 2). That needs n + 1 >=
    1 / `share`. With fewer images, the largest distance is returned, beyond which 1 / (n + 1) are
    expected.
    """
    count = len(distances)
    place = min(max(math.ceil((count + 1) * (1.0 - share) - _ROUNDING), 1), count)
    largest = float(np.sort(distances)[place - 1])
    return float(f"{largest * (1.0 + _MARGIN):.6g}"), round(place / (count + 1), 6)


def with_distances(
    model: "keras.Model", reference: Rows, *, with_rows: bool = False
) -> "keras.Model":
    """Return a model with a further output (N x 1): the distance to the nearest reference image.

    With `with_rows`, a third output has the features (N x C) that the distance is measured in.

    The model maps images (N x H x W x 3, RGB uint8) to outputs; with test-time augmentation, the
    distance is that of the image as it is. Both come from one run of the network. The distance is
    the root mean square of the differences of the standardised features, so it is about as large
    for few features as for many.
    """
    head = architectures.head_of(model)
    row = row_of(head).output
    outputs = [head.output, _distance(reference)(row), *([row] if with_rows else [])]
    twin = keras.Model(head.input, outputs, name="head_with_distance")
    return twin if head is model else tta.with_more_outputs(model, twin)


def row_of(head: "keras.Model") -> "keras.Model":
    """Return the network from the input of a head to one row of features an image.

    Maps are averaged over their places where the head pools them, so after its convolutions.
    Pooled features are a row already.
    """
    names = [layer.name for layer in head.layers]
    features = head.get_layer("pooling").input if "pooling" in names else head.input
    inputs = keras.Input(features.shape[1:])
    row = inputs if len(inputs.shape) == 2 else layers.GlobalAveragePooling2D()(inputs)
    network = keras.Model(inputs, keras.layers.Identity()(row), name="distance_features")
    return keras.Model(head.input, network(features))


def _distance(reference: Rows) -> "keras.Model":
    """Return the network from rows (N x C) to the distances (N x 1) to the nearest reference row.

    The products are summed by `layers.Dense`, in the same way on every processor.
    """
    count, width = reference.shape
    scale, offset = batches.scaling(reference, [width])
    points = (reference * np.array(scale) + np.array(offset)).astype(np.float32)
    squares = np.zeros(count)
    for column in points.T.astype(np.float64):
        squares += column**2
    rows = keras.Input((width,))
    standardized = keras.layers.Rescaling(scale, offset)(rows)
    dense = layers.Dense(count)
    products = dense(standardized)
    dense.set_weights([-2.0 * points.T, squares.astype(np.float32)])
    own = keras.ops.sum(keras.ops.square(standardized), axis=1, keepdims=True)
    nearest = keras.ops.min(products, axis=1, keepdims=True) + own
    root = keras.ops.sqrt(keras.ops.maximum(nearest, 0.0) / width)
    return keras.Model(rows, root, name="distance")


def _computed(
    network: "keras.Model",
    model: "keras.Model",
    features: Path,
    images: Path,
    rows: NDArray[np.int64],
) -> Iterator[Rows]:
    """Yield what a network from the input of the model's head returns for rows of the table.

    If the features of the model are stored, they are not computed again. Copies of test-time
    augmentation are left out.
    """
    on_features = of_model(features, model)
    if not on_features:
        network = architectures.assemble(model.get_layer("feature_extractor"), network)
    run = models.compiled(network)
    with store.unpacked(features if on_features else images, rows) as inputs:
        for start in range(0, len(inputs), _BATCH):
            yield run(inputs[start : start + _BATCH])
