"""Whole models as the stages assemble them, from parameters and the size of an image."""

from benchmarks import networks
from benchmarks.networks import head
from seedlings import presets
from seedlings.networks import backbones
from seedlings.networks.runtime import keras
from seedlings.params import Params, check
from seedlings.tasks import Task

__all__ = ["FROM_SCRATCH", "classifier", "composed", "head"]

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
