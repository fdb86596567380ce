"""Whole models as the stages assemble them, from parameters and the size of an image."""

from benchmarks import networks
from benchmarks.networks import head
from seedlings.networks import backbones
from seedlings.networks.runtime import keras
from seedlings.params import Params
from seedlings.tasks import Task

__all__ = ["classifier", "head"]


def classifier(params: Params, size: tuple[int, int], units: int, task: Task) -> "keras.Model":
    """A whole model of images of size (height, width), as random as the weights that it names."""
    backbone = backbones.build(params.extract, *size)
    return networks.classifier(backbone, units, task, params.finetune)
