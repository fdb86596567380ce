"""Model outputs: the predictions of the trained models for one split."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.networks import architectures, models, tta
from seedlings.networks.features import of_model
from seedlings.networks.runtime import keras
from seedlings.tasks import Task
from seedlings.training import batches

_BATCH = 64


def predict(
    model: "keras.Model", array: Path, table: pd.DataFrame, task: Task, *, split: str
) -> NDArray[np.float32]:
    """Return the model's outputs for the rows of one split of a stored array: rows x units."""
    with batches.of_split(array, table, task, split, size=_BATCH) as rows:
        return model.predict(rows.data(), verbose=0)


def predict_finetuned(
    model: "keras.Model",
    features: Path,
    images: Path,
    table: pd.DataFrame,
    task: Task,
    *,
    split: str,
) -> NDArray[np.float32]:
    """Return the outputs of the whole fine-tuned model for the rows of one split: rows x units.

    If the features of the model are stored, only the head runs on them; otherwise, as for a model
    from scratch, the whole model runs on the images. Both give the same outputs. Features are those
    of one image, so a model that averages copies runs on the images, too.
    """
    if of_model(features, model) and tta.count(model) == 1:
        return predict(model.get_layer("head"), features, table, task, split=split)
    return predict(model, images, table, task, split=split)


@contextmanager
def embedded(
    model: "keras.Model",
    features: Path,
    images: Path,
    table: pd.DataFrame,
    task: Task,
    *,
    split: str,
) -> Iterator[NDArray[np.float32]]:
    """Yield the inputs of the last layer of the fine-tuned model for one split: rows x width.

    They are in a temporary file, so that the memory does not grow with the data. If the features of
    the model are stored, only the head runs on them. Copies of test-time augmentation are
    left out.
    """
    head = model.get_layer("head")
    embedding = keras.Model(head.input, head.get_layer("output").input)
    on_features = of_model(features, model)
    if not on_features:
        embedding = architectures.assemble(model.get_layer("feature_extractor"), embedding)
    with (
        tempfile.TemporaryDirectory() as folder,
        batches.of_split(
            features if on_features else images, table, task, split, size=_BATCH
        ) as rows,
    ):
        width, embed = embedding.output_shape[1], models.compiled(embedding)
        found = np.memmap(
            Path(folder) / "embeddings", np.float32, "w+", shape=(len(rows.targets), width)
        )
        for number, (inputs, _) in enumerate(rows):
            start = number * _BATCH
            found[start : start + len(inputs)] = embed(inputs)
        yield found
