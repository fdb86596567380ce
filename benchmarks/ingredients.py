"""Ingredients of training from scratch that the library does not have, for the benchmark quality.

Each takes the parameters of a variant and trains; what it returns is scored as the preset is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import networks
from seedlings.config.records import Record
from seedlings.networks import backbones
from seedlings.networks.runtime import keras, tf
from seedlings.params import Params
from seedlings.tasks import Targets, Task
from seedlings.training import calibration, callbacks, fit, progressive, trained_model, whitening
from seedlings.training.augmentations import Augmentation
from seedlings.training.batches import Batches

_WATCHED = 32  # validation images after each epoch, which choose nothing
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Images:
    """The images (N x H x W x 3, RGB uint8) and targets of training and validation."""

    train: tuple[NDArray[np.uint8], Targets]
    validation: tuple[NDArray[np.uint8], Targets]
    units: int

    def batches(self, settings: Params, augmentation: Augmentation) -> Batches:
        """Return the batches of training, shuffled and augmented."""
        size, seed = settings.finetune.batch_size, settings.seed
        return Batches(*self.train, size=size, seed=seed, augmentation=augmentation)


# Returns the trained models, whose outputs are averaged.
Training = Callable[[Params, Images, Task], Sequence["keras.Model"]]


def plain(settings: Params, images: Images, task: Task) -> Sequence["keras.Model"]:
    """Train as the stage finetune does."""
    model, augmentation = build(settings, images, task)
    return [trained(model, settings, images, task, augmentation)]


def build(
    settings: Params,
    images: Images,
    task: Task,
    kind: Callable[..., Augmentation] = Augmentation,
) -> tuple["keras.Model", Augmentation]:
    """Return the whole model before training, and the augmentation of its images."""
    backbone = backbones.build(settings.extract, *settings.segment.pixels)
    model = networks.classifier(backbone, images.units, task, settings.finetune)
    if settings.finetune.convnet.whitened:
        whitening.whiten(model, images.train[0], settings.seed)
    return model, kind(settings.finetune.augment, backbone.window, settings.seed)


def trained(
    model: "keras.Model",
    settings: Params,
    images: Images,
    task: Task,
    augmentation: Augmentation,
) -> "keras.Model":
    """Train a model in place, as the stage finetune does, and return it."""
    train = images.batches(settings, augmentation)
    own = settings.finetune.model_copy(update={"calibrate": False})
    few = Batches(*(rows[:_WATCHED] for rows in images.validation), size=_WATCHED)
    fit.train_head(model, train, few, record=Record("finetune"), task=task, params=own)
    calibrate(model, images, task)
    return model


def calibrate(model: "keras.Model", images: Images, task: Task) -> None:
    """Calibrate a model on all validation images."""
    calibration.calibrate(model, Batches(*images.validation, size=_BATCH), task)


def seven_eighths(settings: Params, images: Images, task: Task) -> Sequence["keras.Model"]:
    """Train on seven eighths of the training images: what an eighth more would bring."""
    inputs, targets = images.train
    places = np.random.default_rng(settings.seed).permutation(len(inputs))
    chosen = np.sort(places[: len(places) * 7 // 8])
    return plain(settings, replace(images, train=(inputs[chosen], targets[chosen])), task)


def identity_start(settings: Params, images: Images, task: Task) -> Sequence["keras.Model"]:
    """Start with residual blocks that change nothing (Goyal et al. 2017, section 5.1).

    The scale of the last batch normalisation of each block is 0.
    """
    model, augmentation = build(settings, images, task)
    head = model.get_layer("head")
    for layer in head.layers:
        if isinstance(layer, keras.layers.Add):
            last = layer.input[0]._keras_history.operation
            last.gamma.assign(np.zeros(last.gamma.shape))
    return [trained(model, settings, images, task, augmentation)]


class _WeakEnding(Augmentation):
    """Only turns and flips images from an epoch on: neither zoom nor shift nor brightness."""

    def __init__(self, *plain: Any, first: int) -> None:
        super().__init__(*plain)
        self._first = first

    def batch(self, images: NDArray[np.uint8], rows: NDArray[np.int64], epoch: int) -> NDArray:
        if epoch < self._first:
            return super().batch(images, rows, epoch)
        return self._without(["zoom", "shift", "multiply"]).batch(images, rows, epoch)


def weak_ending(settings: Params, images: Images, task: Task) -> Sequence["keras.Model"]:
    """Train the last tenth with weak augmentation, then estimate batch statistics anew.

    It is the last part of FixRes (Touvron et al. 2019) with all layers.
    """
    own = settings.finetune
    epochs = max(1, round((own.steps or 1) / -(-len(images.train[0]) // own.batch_size)))
    kind = partial(_WeakEnding, first=round(0.9 * epochs) + 1)
    model, augmentation = build(settings, images, task, kind)
    trained(model, settings, images, task, augmentation)
    estimate_statistics(model, settings, images, augmentation, epochs + 1)
    calibrate(model, images, task)
    return [model]


def estimated_statistics(settings: Params, images: Images, task: Task) -> Sequence["keras.Model"]:
    """Estimate batch statistics anew after training, for the averaged weights."""
    model, augmentation = build(settings, images, task)
    trained(model, settings, images, task, augmentation)
    estimate_statistics(model, settings, images, augmentation, epoch=10_000)
    calibrate(model, images, task)
    return [model]


def estimate_statistics(
    model: "keras.Model",
    settings: Params,
    images: Images,
    augmentation: Augmentation,
    epoch: int,
) -> None:
    """Set the moving statistics to means over the batches of four epochs, with fixed weights."""
    train = images.batches(settings, augmentation)
    normalizations = [
        layer
        for layer in model.get_layer("head").layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    sums = [[np.zeros(v.shape) for v in layer.non_trainable_variables] for layer in normalizations]
    momenta = [layer.momentum for layer in normalizations]
    for layer in normalizations:
        layer.momentum = 0.0
    call = tf.function(lambda batch: model(batch, training=True))
    count = 0
    for own in range(epoch, epoch + 4):
        for inputs, _ in train.epoch(own):
            if len(inputs) < settings.finetune.batch_size:
                continue
            call(inputs)
            count += 1
            for total, layer in zip(sums, normalizations, strict=True):
                for value, variable in zip(total, layer.non_trainable_variables, strict=True):
                    value += np.asarray(variable)
    for total, layer, momentum in zip(sums, normalizations, momenta, strict=True):
        layer.momentum = momentum
        for value, variable in zip(total, layer.non_trainable_variables, strict=True):
            variable.assign(value / count)


def two_halves(settings: Params, images: Images, task: Task) -> Sequence["keras.Model"]:
    """Train two networks of about half the operations one after the other."""
    models: list[keras.Model] = []
    for seed in (settings.seed, settings.seed + 1000):
        keras.utils.set_random_seed(seed)
        models += plain(settings.model_copy(update={"seed": seed}), images, task)
    return models


class _Student(keras.Model):
    """A model that learns from the labels and the probabilities of a teacher, equally."""

    teacher: Callable[[Any], Any]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        own = super().compute_loss(x, y, y_pred, sample_weight, training)
        taught = keras.losses.categorical_crossentropy(self.teacher(x), y_pred)
        return 0.5 * own + 0.5 * keras.ops.mean(taught)


def self_distilled(settings: Params, images: Images, task: Task) -> Sequence["keras.Model"]:
    """Train a teacher for half of the steps, then a student like it (Furlanello et al. 2018)."""
    own = settings.finetune
    half = own.model_copy(update={"steps": (own.steps or 2) // 2})
    shorter = settings.model_copy(update={"finetune": half})
    (teacher,) = plain(shorter, images, task)
    frozen = half.progressive.model_copy(update={"sizes": []})
    keras.utils.set_random_seed(settings.seed + 1000)
    model, augmentation = build(
        shorter.model_copy(update={"seed": settings.seed + 1000}), images, task
    )
    train = images.batches(shorter, augmentation)
    epochs = max(1, round((half.steps or 1) / len(train)))
    hooks: list[Any] = [callbacks.Averages()]
    if half.progressive.sizes:
        hooks.append(progressive.Sizes(half.progressive, model.input_shape[1:3]))
    with (
        trained_model.prepared(teacher, half.model_copy(update={"progressive": frozen})) as taught,
        trained_model.prepared(model, half) as network,
    ):
        student = _Student(network.inputs, network.outputs, name="student")
        # A function, because the weights of a model would become weights of the student.
        student.teacher = lambda x: tf.stop_gradient(taught(x, training=False))
        rate = half.optimizer.learning_rate
        optimizer = fit.make_optimizer(half, rate=rate, epochs=epochs, steps=len(train))
        fit.compile_model(student, task, optimizer, half.label_smoothing)
        student.fit(
            train.endless_data(1),
            steps_per_epoch=len(train),
            epochs=epochs,
            callbacks=hooks,
            shuffle=False,
            verbose=0,
        )
    calibrate(model, images, task)
    return [model]
