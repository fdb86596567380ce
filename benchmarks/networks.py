"""Networks as the stages assemble them, from parameters."""

from seedlings.networks import architectures
from seedlings.networks.backbones import Backbone
from seedlings.networks.runtime import keras
from seedlings.tasks import Task
from seedlings.training.params import Finetune


def head(backbone: Backbone, units: int, task: Task, params: Finetune) -> "keras.Model":
    """Return the head that the stage finetune trains."""
    return architectures.head(
        backbone,
        units,
        task,
        convnet=params.convnet,
        params=params.head,
        regularization=params.regularization,
        unfreeze_epochs=params.unfreeze.epochs,
    )


def classifier(backbone: Backbone, units: int, task: Task, params: Finetune) -> "keras.Model":
    """Return the whole model, of images, with that head."""
    return architectures.assemble(backbone.feature_extractor, head(backbone, units, task, params))
