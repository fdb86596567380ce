"""Networks as the stages assemble them, from parameters."""

from pathlib import Path
from typing import Any

import numpy as np

from seedlings import params, presets
from seedlings.config.reuse import Reuse
from seedlings.io.shards import Here
from seedlings.networks import architectures, features
from seedlings.networks.backbones import Backbone
from seedlings.networks.runtime import keras
from seedlings.packaging import bundle, distances
from seedlings.packaging.bundle import Contents
from seedlings.params import Params
from seedlings.tasks import TASKS, Task
from seedlings.training.params import Finetune

_SMALL = ("segment.pixels=[48,48]", "extract.width=0.125")


def full_vgg16(*, small: bool = False) -> Params:
    """Return the parameters of the sample with all filters of VGG16 and random weights.

    Benchmarks of speed use them, whatever params.yaml has, as their goals are for a large network.
    """
    return params.check(presets.compose(["sample", "model=vgg16", *(_SMALL if small else ())]))


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
        unfreezes=own.unfreeze.active,
    )


def classifier(backbone: Backbone, units: int, task: Task, own: Finetune) -> "keras.Model":
    """Return the whole model, of images, with that head."""
    return architectures.assemble(backbone.feature_extractor, head(backbone, units, task, own))


def contents(
    task: str,
    outputs: list[str],
    segment: dict[str, Any],
    *,
    largest_distance: float = 1e9,
    share_within: float = 0.99,
    portable: bool = True,
) -> Contents:
    """Return the contents of a bundle, by default one that finds no image out-of-distribution."""
    return Contents(
        task=task,
        answers=TASKS[task].answer_form,
        outputs=outputs,
        segment=segment,
        tag_threshold=0.5,
        largest_distance=largest_distance,
        share_within=share_within,
        validation_images=99,
        training_shares={name: 1 / len(outputs) for name in outputs},
        portable=portable,
    )


def package(model: "keras.Model", contents: Contents, path: Path) -> None:
    """Write a bundle whose samples are two images, with features of 0 and of 1."""
    width = distances.row_of(architectures.head_of(model)).output_shape[1]
    reference = np.repeat(np.array([[0.0], [1.0]], np.float32), width, axis=1)
    outputs = np.full((2, model.output_shape[1]), 0.5, np.float32)
    bundle.write(model, contents, bundle.Samples(reference, reference, outputs), path)
