"""Doubtful labels: images whose label the model contradicts most confidently.

Confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068): a label is doubtful if
another class has at least the probability that this class has on average for its own images. The
probabilities of training images come from heads that have not seen them, by cross-fitting. The
heads are trained at the same time, as one network whose bytes are the same on every processor;
those of scikit-learn's solvers are not.

A weak model contradicts correct labels. In ten well-known test sets, 0.2 to 10% of the labels are
wrong (Northcutt, Athalye and Mueller 2021, arXiv:2103.14749). So of a list with more than 20% of
the labels, about half of the entries or more are mistakes of the model: it is not reliable.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.io import split_table
from seedlings.networks import layers, models
from seedlings.networks.runtime import keras
from seedlings.tasks import Task
from seedlings.training import calibration
from seedlings.training.batches import Batches

Probabilities = NDArray[np.floating]

COLUMNS = [
    *("path", "split", "label", "probability", "suggestion", "suggestion_probability"),
    "digest",  # by which data/corrections.csv names the image
]
_FOLDS = 5
_STEPS = 600
_BATCH = 64
_RATE = 0.01
_LONGEST = 0.2  # share of the images in a reliable list
_UNSEEN = -1  # in place of the class of an image that a head must not see


@dataclass(frozen=True, slots=True)
class Check:
    """The doubtful labels, with `COLUMNS`, of all labels that were checked."""

    doubtful: pd.DataFrame
    checked: int
    agreeing: int  # labels of the most probable class
    decided: int = 0  # doubtful labels that are not listed, as a person has decided them

    @property
    def is_reliable(self) -> bool:
        """Whether the list is short enough to be of wrong labels, and not of mistakes."""
        return len(self.doubtful) + self.decided <= _LONGEST * self.checked

    def without(self, decided: pd.DataFrame) -> "Check":
        """Return the check without the labels (by `digest` and `label`) that people decided."""
        known = pd.MultiIndex.from_frame(decided[["digest", "label"]])
        found = pd.MultiIndex.from_frame(self.doubtful[["digest", "label"]]).isin(known)
        left = self.doubtful[~found].reset_index(drop=True)
        return replace(self, doubtful=left, decided=int(found.sum()))

    def summary(self) -> dict[str, int | bool]:
        """Return the counts, for the record of the stage."""
        return {
            "listed": len(self.doubtful),
            "decided": self.decided,
            "checked": self.checked,
            "agreeing": self.agreeing,
            "reliable": self.is_reliable,
        }


def find(
    table: pd.DataFrame,
    embeddings: NDArray[np.float32],
    outputs: Mapping[str, Probabilities],
    task: Task,
    *,
    seed: int,
) -> Check:
    """Return the doubtful labels of the training images and of the splits in `outputs`.

    `table` is the split table, `embeddings` those of its training rows, and `outputs` maps the name
    of another split to those of the fine-tuned model (N x units). The most confident contradiction
    is first. The task has classes.
    """
    names, classes = task.outputs(table["label"]), task.targets(table["label"])
    train = split_table.rows(table, "train")
    groups = table["group"].to_numpy()[train]
    judged = {
        "train": cross_fitted(embeddings, classes[train], groups, count=len(names), seed=seed)
    }
    judged |= {split: task.columns(found) for split, found in outputs.items()}
    parts, checked, agreeing = [], 0, 0
    for split, probabilities in judged.items():
        rows = split_table.rows(table, split)
        known = ~np.isnan(probabilities).any(axis=1)
        parts.append(rank(table.iloc[rows], probabilities, classes[rows], names))
        checked += int(known.sum())
        agreeing += int((probabilities.argmax(axis=1) == classes[rows])[known].sum())
    return Check(_most_confident_first(pd.concat(parts)), checked, agreeing)


def cross_fitted(
    embeddings: NDArray[np.float32],
    classes: NDArray[np.int64],
    groups: NDArray,
    *,
    count: int,
    seed: int,
) -> Probabilities:
    """Return calibrated probabilities (N x `count`) of heads that have not seen the image.

    `embeddings` (N x width) are the inputs of the last layer, `classes` the numbers of the labels
    from 0 to `count` - 1. Each of five heads, a softmax regression, is trained without the images
    of one fold; images of a group are in one fold. A row is NaN if no head has seen another
    group of its class.
    """
    folds = _folds(classes, groups, np.random.default_rng(seed))
    seen = folds[:, None] != np.arange(_FOLDS)
    batches = Batches(embeddings, np.where(seen, classes[:, None], _UNSEEN), size=_BATCH, seed=seed)
    model = _heads(embeddings.shape[1], count, seed)
    steps = len(batches)
    epochs = max(1, round(_STEPS / steps))
    rate = keras.optimizers.schedules.CosineDecay(_RATE, epochs * steps)
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=_UNSEEN)
    model.compile(keras.optimizers.Adam(rate), loss)
    data = batches.endless_data(1)
    model.fit(data, steps_per_epoch=steps, epochs=epochs, shuffle=False, verbose=0)
    predict, unseen = models.compiled(model), np.empty((len(folds), count))
    for start in range(0, len(folds), _BATCH):
        part = slice(start, start + _BATCH)
        every = predict(embeddings[part])
        unseen[part] = every[np.arange(len(every)), folds[part]]
    members = np.zeros((_FOLDS, count), np.int64)
    np.add.at(members, (folds, classes), 1)
    known = members.sum(axis=0)[classes] > members[folds, classes]
    if known.any():
        scaled = unseen ** (1.0 / calibration.temperature(unseen[known], classes[known]))
        unseen = scaled / scaled.sum(axis=1, keepdims=True)
    unseen[~known] = np.nan
    return unseen


def rank(
    rows: pd.DataFrame, probabilities: Probabilities, classes: NDArray[np.int64], names: list[str]
) -> pd.DataFrame:
    """Return the doubtful labels of one split, the most confident contradiction first.

    The columns are `COLUMNS`. `rows` are the N rows of the split table, `probabilities` (N x
    classes) those of their images, `classes` the numbers of their labels among `names`. The order
    is by the difference of the probabilities of the suggestion, the most probable class, and the
    label. Rows that are NaN are left out.
    """
    places = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    rows, classes = rows.iloc[places], classes[places]
    probabilities = probabilities[places].astype(np.float64)
    places = np.arange(len(classes))
    own = probabilities[places, classes]
    thresholds = np.array([_mean(own[classes == number]) for number in range(len(names))])
    suggestion = probabilities.argmax(axis=1)
    best = probabilities[places, suggestion]
    doubtful = np.flatnonzero((suggestion != classes) & (best >= thresholds[suggestion]))
    found = pd.DataFrame(
        {
            "path": rows["path"].to_numpy()[doubtful],
            "split": rows["split"].to_numpy()[doubtful],
            "label": rows["label"].to_numpy()[doubtful],
            "probability": own[doubtful].round(6),
            "suggestion": np.array(names)[suggestion[doubtful]],
            "suggestion_probability": best[doubtful].round(6),
            "digest": rows["digest"].to_numpy()[doubtful],
        },
        columns=COLUMNS,
    )
    return _most_confident_first(found)


def _most_confident_first(found: pd.DataFrame) -> pd.DataFrame:
    margin = (found["suggestion_probability"] - found["probability"]).to_numpy(np.float64)
    return found.iloc[np.argsort(-margin, kind="stable")].reset_index(drop=True)


def _heads(width: int, classes: int, seed: int) -> "keras.Model":
    """Return softmax regressions (N x width to N x folds x classes) on normalised embeddings."""
    embedding = keras.Input((width,), name="embedding")
    x = layers.BatchNormalization(momentum=0.9, center=False, scale=False)(embedding)
    x = layers.Dense(
        _FOLDS * classes,
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        kernel_regularizer=keras.regularizers.L2(1e-3),
    )(x)
    x = keras.layers.Softmax()(keras.layers.Reshape((_FOLDS, classes))(x))
    return keras.Model(embedding, x)


def _folds(
    classes: NDArray[np.int64], groups: NDArray, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the fold of each image: groups are shuffled, sorted by class, and dealt in turn."""
    _, first, members = np.unique(groups, return_index=True, return_inverse=True)
    shuffled = rng.permutation(len(first))
    dealt = shuffled[np.argsort(classes[first[shuffled]], kind="stable")]
    folds = np.empty(len(first), np.int64)
    folds[dealt] = np.arange(len(first)) % _FOLDS
    return folds[members]


def _mean(values: NDArray[np.floating]) -> float:
    return float(values.mean()) if len(values) else np.inf
