"""Frozen backbones on real images: accuracy and log loss by cross-validation, time of an image.

The images are those of training and validation of the pipeline's split; test images are not read.
In each of three folds, which keep groups together, the linear head of the preset `folder` is
trained on the features of the other images, without early stopping and calibration. The time is
that of the processor, of all cores, for features in batches of 32, whatever `portable` is.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks import arrays
from benchmarks.measure import PLANTS
from benchmarks.project import Project
from seedlings import params, presets
from seedlings.config.records import Record
from seedlings.io import split_table, store
from seedlings.networks import architectures, backbones, models
from seedlings.networks.runtime import keras
from seedlings.params import Params
from seedlings.tasks import TASKS
from seedlings.training import batches, fit
from seedlings.training.batches import Batches

_FOLDS = 3
_BATCH = 32
_QUARTER = ("model=vgg16_synthetic",)
_LINEAR = (
    "finetune.head.batch_normalization=false",
    "finetune.head.dropout=0.0",
    "finetune.regularization.kernel.l2=0.01",
    "finetune.early_stopping=null",
    "finetune.calibrate=false",
)
_NETWORKS = {
    "quarter VGG16, last layer": (*_QUARTER, "extract.layers=[block5_pool]"),
    "quarter VGG16, several": _QUARTER,
    "EfficientNet-Lite0, last layer": ("extract.layers=[head_relu]",),
    "EfficientNet-Lite0, several": (),
}
_IMAGES = {
    "whole": ("segment.method=none",),
    "cut-outs": ("segment.method=excess_green",),
}
_SIZES = (150, 224)


def main(*, small: bool) -> None:
    if not small and not PLANTS.is_file():
        print(f"not measured: {PLANTS.name} is absent")
        return
    source: tuple[str, ...] = ("data.source=archive", f"data.path={PLANTS}", "data.folder=train")
    if small:
        source = ("data=sample", "data.sample.images_per_class=8", "data.sample.side=32")
        source += ("split.validation_per_class=2",)
    print(
        f"{'':<31} {'images':<9} {'px':>4} {'numbers':>8} {'ms':>6} {'accuracy':>9} {'log loss':>9}"
    )
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder), ("folder", *source))
        for images, method in _IMAGES.items():
            for side in (32,) if small else _SIZES:
                common = (*source, *method, f"segment.pixels=[{side},{side}]")
                project.set(("folder", *common))
                project.run("dvc", "repro", "segment")
                for name, changes in _NETWORKS.items():
                    settings = params.check(
                        presets.compose(("folder", *common, *changes, *_LINEAR))
                    )
                    numbers, milliseconds, scores = measure(project.root, settings)
                    print(
                        f"{name:<31} {images:<9} {side:>4} {numbers:>8} {milliseconds:>6.1f} "
                        f"{scores[0]:>9.1%} {scores[1]:>9.3f}",
                        flush=True,
                    )


def measure(root: Path, settings: Params) -> tuple[int, float, tuple[float, float]]:
    """Return the numbers of a row, the milliseconds of an image, and accuracy and log loss."""
    table = split_table.read(root / "data" / "split.csv")
    rows = np.flatnonzero(table["split"] != "test")
    with store.unpacked(root / "data" / "images", rows) as images:
        backbone = backbones.build(settings.extract, *images.shape[1:3])
        extract = models.compiled(backbone.feature_extractor)
        extract(images[:_BATCH])
        start = time.process_time()
        parts = [extract(images[n : n + _BATCH]) for n in range(0, len(images), _BATCH)]
        milliseconds = 1000 * (time.process_time() - start) / len(images)
    features = np.concatenate(parts)
    outputs = cross_validated(features, table.iloc[rows], backbone, settings)
    truth = TASKS["multiclass"].targets(table["label"])[rows]
    accuracy = float((outputs.argmax(axis=1) == truth).mean())
    return features.shape[1], milliseconds, (accuracy, float(log_loss(truth, outputs)))


def cross_validated(
    features: NDArray[np.float32],
    table: pd.DataFrame,
    backbone: backbones.Backbone,
    settings: Params,
) -> NDArray[np.float64]:
    """Return the probabilities for the images of each fold, of a head that has not seen them."""
    task, own = TASKS["multiclass"], settings.finetune
    truth = task.targets(table["label"])
    outputs = np.zeros((len(table), task.units(table["label"])))
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
    for seen, unseen in folds.split(features, truth, table["group"]):
        keras.utils.set_random_seed(settings.seed)
        head = architectures.head(
            backbone,
            outputs.shape[1],
            task,
            convnet=own.convnet,
            params=own.head,
            regularization=own.regularization,
            scaling=scaling(features[seen], backbone.widths),
        )
        train = Batches(features[seen], truth[seen], size=own.batch_size, seed=settings.seed)
        validation = Batches(features[unseen], truth[unseen], size=own.batch_size)
        fit.train_head(head, train, validation, record=Record("finetune"), task=task, params=own)
        outputs[unseen] = head.predict(features[unseen], verbose=0)
    return outputs / outputs.sum(axis=1, keepdims=True)


def scaling(
    features: NDArray[np.float32], widths: Sequence[int]
) -> tuple[list[float], list[float]] | None:
    """Return scale and offset of the features, as the stage finetune computes them."""
    with tempfile.TemporaryDirectory() as folder:
        arrays.write(Path(folder) / "features", features)
        every = pd.DataFrame({"label": "x", "split": ["train"] * len(features)})
        return batches.feature_scaling(Path(folder) / "features", every, widths)
