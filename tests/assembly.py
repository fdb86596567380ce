"""Whole models as the stages assemble them, from parameters and the size of an image."""

from pathlib import Path

import yaml
from imports import ROOT

from benchmarks import networks
from benchmarks.networks import head
from seedlings import presets
from seedlings.networks import backbones, models
from seedlings.networks.runtime import keras
from seedlings.params import Params, check
from seedlings.tasks import TASKS, Task

__all__ = ["FROM_SCRATCH", "classifier", "composed", "head", "save"]

# Parameters that make the training of `plants_scratch` small.
FROM_SCRATCH = [
    "segment.pixels=[24,24]",
    "finetune.convnet.stem_filters=[8]",
    "finetune.convnet.filters=[8,16]",
    "finetune.batch_size=8",
    "finetune.epochs=5",
    "finetune.steps=null",
    "finetune.optimizer.average_weights=0.5",
    "finetune.schedule.warmup_epochs=0",
    "finetune.progressive.sizes=[[12,12],[16,16]]",
]


def composed(*words: str) -> Params:
    """The parameters of presets and assignments, such as `sample`, `seed=1`."""
    return check(presets.compose(words))


def classifier(params: Params, size: tuple[int, int], units: int, task: Task) -> "keras.Model":
    """A whole model of images of size (height, width), as random as the weights that it names."""
    backbone = backbones.build(params.extract, *size)
    return networks.classifier(backbone, units, task, params.finetune)


def save(folder: Path, others: int) -> None:
    """Save a network with random weights; `others` layers before it move Keras' counters on."""
    for _ in range(others):
        keras.layers.Dense(2)
    keras.utils.set_random_seed(5)
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tree["extract"].update(backbone="MobileNetV2", cut="block_12_add", width=1.0, weights="random")
    tree["finetune"]["regularization"]["kernel"]["l2"] = 0.1
    tree["finetune"]["unfreeze"]["epochs"] = 1
    models.save(classifier(check(tree), (32, 32), 3, TASKS["multiclass"]), folder)
