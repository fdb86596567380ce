"""The validation images of a bundle, to which new images are compared."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from seedlings.io import split_table, store
from seedlings.networks import architectures, models, tta
from seedlings.networks.runtime import keras
from seedlings.packaging import distances
from seedlings.packaging.distances import Rows

_BATCH = 32
_LEVEL = 0.05  # of the test whether classes have other shares


def of_validation(
    model: "keras.Model",
    features: Path,
    images: Path,
    table: pd.DataFrame,
    *,
    shares: Mapping[str, float],
    seed: int,
) -> tuple[Rows, NDArray[np.float32]]:
    """Return the features and the outputs of validation images that are drawn by the seed.

    They are at most as many as those of training in the bundle. Of each group there is one, because
    images of a group are one observation. `shares` are those of the classes in training; see
    `_like`.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(split_table.rows(table, "validation"))
    alone = rows[~table["group"].iloc[rows].duplicated().to_numpy()]
    head = architectures.head_of(model)
    row = distances.row_of(head)
    drawn = np.sort(alone[_like(table["label"].iloc[alone], shares)][: distances.most_images(row)])
    found = np.concatenate([*distances.computed(row, model, features, images, drawn)])
    if tta.count(model) == 1:
        return found, np.concatenate([*distances.computed(head, model, features, images, drawn)])
    run = models.compiled(model)
    with store.unpacked(images, drawn) as whole:
        parts = [run(whole[start : start + _BATCH]) for start in range(0, len(whole), _BATCH)]
    return found, np.concatenate(parts)


def _like(labels: pd.Series, shares: Mapping[str, float]) -> NDArray[np.int64]:
    """Return the places of labels among which the classes have about their `shares`.

    These are all, unless the chi-squared test says that the classes have other shares, as with
    equally many images of each class (`split.rule: per_class`). Then each class has its first
    labels, as many as its share allows. Without `shares`, all places are returned.
    """
    everything = np.arange(len(labels))
    counts = labels.value_counts().reindex(list(shares), fill_value=0).to_numpy()
    if len(counts) < 2 or not counts.all():
        return everything
    expected = np.array(list(shares.values()))
    expected /= expected.sum()
    if stats.chisquare(counts, counts.sum() * expected).pvalue > _LEVEL:
        return everything
    most = np.maximum(np.floor((counts / expected).min() * expected), 1)
    number = labels.groupby(labels).cumcount().to_numpy()
    return everything[number < labels.map(dict(zip(shares, most, strict=True))).to_numpy()]
