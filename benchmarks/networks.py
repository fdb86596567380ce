"""Networks as the stages assemble them, from parameters."""

from pathlib import Path
from typing import Any

from seedlings import params
from seedlings.cli import presets
from seedlings.config.reuse import Reuse
from seedlings.io.shards import Here
from seedlings.networks import architectures, features, vgg16
from seedlings.networks.backbones import Backbone
from seedlings.networks.runtime import keras
from seedlings.params import Params
from seedlings.tasks import Task
from seedlings.training.params import Finetune


def full_vgg16() -> Params:
    """Return the parameters of the sample with all filters of VGG16 and random weights.

    Benchmarks of speed use them, whatever params.yaml has, as their goals are for a large network.
    """
    return params.check(presets.compose(["sample", "model=vgg16"]))


def extract(extractor: "keras.Model", images: Path, target: Path, settings: Params) -> None:
    """Write the features of a stored array of images, as the stage extract does."""
    task = features.Extraction(
        extractor,
        images,
        batch_size=settings.extract.batch_size,
        seed=settings.seed,
        threads=settings.threads,
    )
    features.extract(task, images, target, engine=Here(), last=Reuse(key=""))


def head(backbone: Backbone, units: int, task: Task, own: Finetune) -> "keras.Model":
    """Return the head that the stage finetune trains."""
    return architectures.head(
        backbone,
        units,
        task,
        convnet=own.convnet,
        params=own.head,
        regularization=own.regularization,
        unfreeze_epochs=own.unfreeze.epochs,
    )


def classifier(backbone: Backbone, units: int, task: Task, own: Finetune) -> "keras.Model":
    """Return the whole model, of images, with that head."""
    return architectures.assemble(backbone.feature_extractor, head(backbone, units, task, own))


def untrained(shape: tuple[int, ...], width: float) -> Backbone:
    """Return VGG16 with batch normalisation (Ioffe and Szegedy 2015), of which nothing is frozen.

    The feature extractor is only its preprocessing; `width` is the share of the filters.
    """
    images = keras.Input(shape, dtype="uint8", name="image")
    pixels = vgg16.preprocess(keras.ops.cast(images, "float32"))
    network = vgg16.build(shape, width, _normalized_convolution)
    layers = keras.Model(network.input, network.output, name="trainable_layers")
    return Backbone(keras.Model(images, pixels, name="feature_extractor"), layers)


def _normalized_convolution(x: Any, filters: int, name: str) -> Any:
    x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_normalization")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
