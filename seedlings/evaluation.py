"""The evaluation: what the models give for the test images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings import batches, store
from seedlings.runtime import keras
from seedlings.tasks import Task

_BATCH = 64


def predict(
    model: "keras.Model", array: Path, table: pd.DataFrame, task: Task, *, split: str = "test"
) -> NDArray[np.float32]:
    """What the model gives for the rows of one split of a stored array: rows x units."""
    with batches.of_split(array, table, task, split, size=_BATCH) as rows:
        return model.predict(rows, verbose=0)


def predict_finetuned(
    model: "keras.Model",
    features: Path,
    images: Path,
    table: pd.DataFrame,
    task: Task,
    *,
    split: str = "test",
) -> NDArray[np.float32]:
    """What the whole fine-tuned model gives for the rows of one split.

    Its top takes the stored features, which saves running the trunk again; where there are none,
    as from scratch, the whole takes the images. Both are the same function.
    """
    if store.shape(features)[0] > 0:
        return predict(model.get_layer("top"), features, table, task, split=split)
    return predict(model, images, table, task, split=split)


def nest(numbers: Mapping[str, float]) -> dict[str, Any]:
    """`name/metric` as a tree, which `dvc metrics` shows by model."""
    tree: dict[str, Any] = {}
    for key, value in numbers.items():
        *path, last = key.split("/")
        branch = tree
        for name in path:
            branch = branch.setdefault(name, {})
        branch[last] = value
    return tree
