"""Trials: networks trained and tested on the same images, by the functions of the stages."""

import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from benchmarks import networks
from benchmarks.measure import PLANTS
from seedlings import processor
from seedlings.config.records import Record
from seedlings.config.reuse import Reuse
from seedlings.data import duplicates, image_folder, sources, splits
from seedlings.evaluation import intervals, model_outputs
from seedlings.io import split_table, store
from seedlings.io.shards import Here
from seedlings.networks import architectures, backbones, features, runtime
from seedlings.networks.backbones import Backbone
from seedlings.params import Params
from seedlings.segmentation import cutouts
from seedlings.tasks import TASKS
from seedlings.training import batches, fit
from seedlings.training.augmentations import Augmentation

T = TypeVar("T")

# Changes of the preset sample: the real images, split by the rules and the seed of the sample.
REAL = ["data=plants", "data.url=null", f"data.path={PLANTS}"]
# Each stage takes a second or two.
SMALL = [
    "data=sample",
    "data.sample.images_per_class=15",
    "data.sample.side=48",
    "split.validation_per_class=3",
    "segment.pixels=[48,48]",
]


@dataclass(frozen=True, slots=True)
class Result:
    """The accuracy on the test images with its interval, and what it took."""

    accuracy: float
    low: float
    high: float
    validation: float  # accuracy
    extraction: float  # seconds
    training: float  # seconds

    def __str__(self) -> str:
        interval = f"{self.low:.1%} to {self.high:.1%}"
        return (
            f"{self.accuracy:>7.1%} {interval:>16} {self.validation:>11.1%} "
            f"{self.extraction:>11.1f} {self.training:>9.1f}"
        )


HEADER = f"{'test':>7} {'95% interval':>16} {'validation':>11} {'extract, s':>11} {'train, s':>9}"


def prepare(settings: Params, root: Path) -> pd.DataFrame:
    """Write the images of the parameters to `root`/images; return their split table."""
    sources.collect(settings.data, root / "raw", settings.seed)
    scanned, _ = image_folder.scan(root / "raw", settings.split.rule)
    table, _ = duplicates.fingerprint(root / "raw", scanned)
    table["unit"] = table["exact"]
    table["group"] = duplicates.group(table, settings.split.duplicate_distance)
    table["split"] = splits.choose(table, TASKS[settings.task], settings.split, settings.seed)
    with redirect_stdout(sys.stderr):  # no line between those of a table
        cutouts.make(
            root / "raw",
            table,
            settings.segment,
            root / "images",
            engine=Here(),
            last=Reuse(key=""),
        )
    return table


def fewer(table: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Return the table with `count` training images of each class, and all others of no split.

    The images are drawn by the seed; those of a smaller count are among those of a larger one.
    """
    rng = np.random.default_rng([seed, 1])
    kept = table.copy()
    for _, rows in table.groupby("label"):
        own = rng.permutation(split_table.rows(rows, "train"))
        kept.loc[rows.index[own[count:]], "split"] = "none"
    return kept


def of_backbone(settings: Params, root: Path, table: pd.DataFrame) -> Result:
    """Train the head on the features of a backbone, as the stages extract and finetune do."""
    backbone, extraction = extract(settings, root)
    return of_features(settings, root, table, backbone, extraction=extraction)


def extract(settings: Params, root: Path) -> tuple[Backbone, float]:
    """Write the features of the images to `root`/features; return the backbone and the seconds."""
    processor.use(portable=settings.portable)
    runtime.prepare(settings.seed, settings.threads)
    backbone = backbones.build(settings.extract, *store.shape(root / "images")[1:3])
    task = features.Extraction(
        backbone.feature_extractor,
        root / "images",
        batch_size=settings.extract.batch_size,
        seed=settings.seed,
        threads=settings.threads,
    )
    task.proof()  # compiles the network
    start = time.perf_counter()
    with redirect_stdout(sys.stderr):
        features.extract(
            task, root / "images", root / "features", engine=Here(), last=Reuse(key="")
        )
    return backbone, time.perf_counter() - start


def of_features(
    settings: Params,
    root: Path,
    table: pd.DataFrame,
    backbone: Backbone,
    *,
    extraction: float = 0.0,
) -> Result:
    """Train the head on stored features of a backbone."""
    runtime.keras.backend.clear_session()
    runtime.prepare(settings.seed, settings.threads)
    head = networks.head(backbone, _classes(table), TASKS[settings.task], settings.finetune)
    return _train(head, settings, root / "features", table, extraction=extraction)


def from_scratch(settings: Params, root: Path, table: pd.DataFrame) -> Result:
    """Train a slim VGG16 with batch normalisation and a head on images, from random weights."""
    processor.use(portable=settings.portable)
    runtime.prepare(settings.seed, settings.threads)
    backbone = networks.untrained(store.shape(root / "images")[1:], settings.extract.width)
    task, own = TASKS[settings.task], settings.finetune
    trainable = own.model_copy(update={"unfreeze": own.unfreeze.model_copy(update={"epochs": 1})})
    head = networks.head(backbone, _classes(table), task, trainable)
    model = architectures.assemble(backbone.feature_extractor, head)
    return _train(model, settings, root / "images", table, extraction=0.0, backbone=backbone)


def in_own_process(action: Callable[..., T], *arguments: Any) -> T:
    """Return the result of a function of a module, called in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(action, *arguments).result()


def _classes(table: pd.DataFrame) -> int:
    return int(table["label"].nunique())


def _train(
    model: Any,
    settings: Params,
    array: Path,
    table: pd.DataFrame,
    *,
    extraction: float,
    backbone: Backbone | None = None,
) -> Result:
    """Train a model on the rows of a stored array; with a backbone, on augmented images."""
    task, own = TASKS[settings.task], settings.finetune
    augmentation = Augmentation(own.augment, backbone.window, settings.seed) if backbone else None
    start = time.perf_counter()
    with batches.of_training(
        array, table, task, size=own.batch_size, seed=settings.seed, augmentation=augmentation
    ) as (train, validation):
        fit.train_head(model, train, validation, record=Record("finetune"), task=task, params=own)
        training = time.perf_counter() - start
        chosen = fit.score(model, validation)[task.metric]
    outputs = model_outputs.predict(model, array, table, task, split="test")
    rows = split_table.rows(table, "test")
    correct = outputs.argmax(axis=1) == task.targets(table["label"])[rows]
    found = intervals.share(
        correct, table["group"].to_numpy()[rows], confidence=settings.evaluate.confidence
    )
    low, high = found or (math.nan, math.nan)  # a single group has no interval
    return Result(float(correct.mean()), low, high, chosen, extraction, training)
