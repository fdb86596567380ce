"""Networks as the stages assemble them, from parameters."""

from seedlings.networks import architectures, backbones
from seedlings.networks.backbones import Backbone
from seedlings.networks.runtime import keras
from seedlings.params import Params
from seedlings.tasks import Task
from seedlings.training.params import Finetune


def head(backbone: Backbone, units: int, task: Task, params: Finetune) -> "keras.Model":
    """The head that the stage finetune trains."""
    return architectures.head(
        backbone,
        units,
        task,
        convnet=params.convnet,
        params=params.head,
        regularization=params.regularization,
        unfreeze_epochs=params.unfreeze.epochs,
    )


def classifier(params: Params, size: tuple[int, int], units: int, task: Task) -> "keras.Model":
    """A whole model of images of size (height, width), as random as the weights that it names."""
    backbone = backbones.build(params.extract, *size)
    return architectures.assemble(
        backbone.feature_extractor, head(backbone, units, task, params.finetune)
    )
