"""Fit: trains the baseline and the head, with optimisers, schedules and early stopping."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.io.files import write_csv, write_json
from seedlings.io.partial_results import PartialResults
from seedlings.networks import architectures, backbones
from seedlings.networks.runtime import keras
from seedlings.training import callbacks, progressive, trained_model
from seedlings.training.batches import Batches
from seedlings.training.calibration import calibrate
from seedlings.training.muon import Muon
from seedlings.training.params import Baseline, Finetune, Schedule, Unfreeze

if TYPE_CHECKING:
    from seedlings.tasks import Targets, Task


def train_baseline(
    model: "keras.Model",
    train: Batches,
    validation: Batches,
    *,
    record: Record,
    task: "Task",
    params: Baseline,
) -> None:
    """Train the baseline in place, with SGD and momentum for `params.epochs` epochs."""
    compile_model(model, task, keras.optimizers.SGD(params.learning_rate, params.momentum))
    fit(model, train, validation, record=record, epochs=params.epochs)


def train_head(
    model: "keras.Model",
    train: Batches,
    validation: Batches,
    *,
    record: Record,
    task: "Task",
    params: Finetune,
    partial: PartialResults | None = None,
) -> None:
    """Train a head on features, or the layers of a whole model that are not frozen, in place.

    With `unfreeze.epochs`, a second phase also trains the layers after the cut, except their batch
    normalisation; those of pooled features train in `train_unfrozen`. With partial results, a
    training that was killed resumes after its last completed epoch. At the end, the outputs are
    calibrated on validation.
    """
    with trained_model.prepared(model, params) as trained:
        _train(trained, train, validation, record=record, task=task, params=params, partial=partial)
    _finish(model, trained, validation, record=record, task=task, params=params)


def train_unfrozen(
    model: "keras.Model",
    train: Batches,
    validation: Batches,
    *,
    record: Record,
    task: "Task",
    params: Finetune,
    cut: str | None,
    partial: PartialResults | None = None,
) -> None:
    """Train a whole model with pooled features, whose head is trained, in place, from images.

    The layers of the feature extractor after `cut` train with the head; with None, all of them.
    Batch normalisation trains if `unfreeze.batch_normalization` says so. With early stopping, they
    are as before if the validation loss is not lower, and frozen. With partial results, a training
    that was killed resumes after its last completed epoch. At the end, the outputs are calibrated
    on validation again.

    Raises SeedlingsError if no layer follows the cut.
    """
    extractor = model.get_layer("feature_extractor")
    own = params.unfreeze
    backbones.unfreeze(extractor, cut, batch_normalization=own.batch_normalization)
    best_weights = model.get_weights()
    with trained_model.prepared(model, params) as trained:
        rate, epochs = own.learning_rate, _epochs(own, len(train))
        optimizer = make_optimizer(params, rate=rate, epochs=epochs, steps=len(train))
        compile_model(trained, task, optimizer, params.label_smoothing)
        best_loss = score(trained, validation)["loss"]
        fit(
            trained,
            train,
            validation,
            record=record,
            epochs=epochs,
            options=params,
            partial=partial,
        )
        is_worse = score(trained, validation)["loss"] > best_loss
    if params.early_stopping and is_worse:
        model.set_weights(best_weights)
        extractor.trainable = False
    _finish(model, trained, validation, record=record, task=task, params=params)


def _finish(
    model: "keras.Model",
    trained: "keras.Model",
    validation: Batches,
    *,
    record: Record,
    task: "Task",
    params: Finetune,
) -> None:
    """Compile the model in place of which another was trained, and calibrate its outputs."""
    if trained is not model:
        compile_model(model, task, trained.optimizer, params.label_smoothing)
    if params.calibrate:
        record.add_metrics({"temperature": calibrate(model, validation, task)})


def _train(
    model: "keras.Model",
    train: Batches,
    validation: Batches,
    *,
    record: Record,
    task: "Task",
    params: Finetune,
    partial: PartialResults | None,
) -> None:
    best_loss, best_weights = math.inf, model.get_weights()
    unfreezable = _trainable_layers(model)
    for epochs, rate, unfrozen in _phases(params, len(train), unfreezes=unfreezable is not None):
        if unfreezable is not None:
            _set_trainable(unfreezable, unfrozen)
        optimizer = make_optimizer(params, rate=rate, epochs=epochs, steps=len(train))
        compile_model(model, task, optimizer, params.label_smoothing)
        fit(
            model,
            train,
            validation,
            record=record,
            epochs=epochs,
            options=params,
            partial=partial,
        )
        loss = score(model, validation)["loss"]
        if params.early_stopping and loss > best_loss:
            model.set_weights(best_weights)  # the second phase has not improved the loss
        else:
            best_loss, best_weights = loss, model.get_weights()


def _phases(params: Finetune, batches: int, *, unfreezes: bool) -> list[tuple[int, float, bool]]:
    """Return epochs, learning rate, and whether the layers after the cut train, of each phase."""
    phases = [(_epochs(params, batches), params.optimizer.learning_rate, False)]
    if unfreezes and params.unfreeze.active:
        epochs = _epochs(params.unfreeze, batches)
        phases.append((epochs, params.unfreeze.learning_rate, True))
    return phases


def _epochs(params: Finetune | Unfreeze, batches: int) -> int:
    """Return the number of epochs of `batches` batches: those of the parameters, or of `steps`."""
    return max(1, round(params.steps / batches)) if params.steps else params.epochs


def make_optimizer(
    params: Finetune, *, rate: float, epochs: int, steps: int
) -> "keras.optimizers.Optimizer":
    """Return the optimiser; its schedule begins at the learning rate `rate`.

    `steps` is the number of batches of an epoch.
    """
    scheduled = _schedule(params.schedule, rate, epochs, steps)
    constants = params.optimizer
    average = {"use_ema": True, "ema_momentum": constants.average_weights}
    options = average if constants.average_weights else {}
    moments = {
        "beta_1": constants.beta_1,
        "beta_2": constants.beta_2,
        "epsilon": constants.epsilon,
    }
    match constants.name:
        case "sgd":
            return keras.optimizers.SGD(scheduled, momentum=constants.momentum, **options)
        case "rmsprop":
            return keras.optimizers.RMSprop(scheduled, momentum=constants.momentum, **options)
        case "adamw":
            return keras.optimizers.AdamW(
                scheduled, weight_decay=constants.weight_decay, **moments, **options
            )
        case "muon":
            return Muon(
                scheduled,
                weight_decay=constants.weight_decay,
                momentum=constants.momentum,
                adam_beta_1=constants.beta_1,
                adam_beta_2=constants.beta_2,
                epsilon=constants.epsilon,
                **options,
            )
        case _:
            return keras.optimizers.Adam(scheduled, **moments, **options)


def fit(
    model: "keras.Model",
    train: Batches,
    validation: Batches,
    *,
    record: Record,
    epochs: int,
    options: Finetune | None = None,
    partial: PartialResults | None = None,
) -> None:
    """Train a compiled model in place, and add the loss and metric of each epoch to the record.

    With `options.early_stopping`, training stops after that many epochs without a lower validation
    loss, and the weights of the best epoch are restored, also if all epochs ran. With averaged
    weights (Polyak and Juditsky 1992), the averages are validated and kept.

    Raises SeedlingsError if a loss or metric is not finite.
    """
    weights, done = None, 0
    hooks: list[Any] = [callbacks.Report(record, epochs)]
    if options and options.progressive.sizes:
        hooks.append(progressive.Sizes(options.progressive, model.input_shape[1:3]))
    if options and options.early_stopping is not None:
        hooks.append(
            keras.callbacks.EarlyStopping(
                "val_loss", patience=options.early_stopping, restore_best_weights=True, verbose=0
            )
        )
    if options and options.optimizer.average_weights:
        hooks.append(callbacks.Averages())
    if options and options.class_weights == "balanced":
        weights = balanced_weights(train.targets)
    if partial:
        hooks.append(callbacks.Checkpoint(partial, model, record, hooks))
        done = hooks[-1].restore()
    model.fit(
        train.endless_data(record.epochs + 1),  # a second phase continues
        steps_per_epoch=len(train),
        validation_data=validation.data(),
        initial_epoch=done,
        epochs=epochs,
        callbacks=hooks,
        class_weight=weights,
        shuffle=False,  # Batches shuffles by the seed
        verbose=0,
    )
    for hook in hooks:
        if isinstance(hook, keras.callbacks.EarlyStopping):
            stopped = (
                f"stopped after epoch {hook.stopped_epoch + 1}; " if hook.stopped_epoch else ""
            )
            print(
                f"{record.stage}: {stopped}the weights of epoch {hook.best_epoch + 1} of {epochs}, "
                "with the lowest validation loss, are kept",
                flush=True,
            )


def score(model: "keras.Model", batches: Batches) -> dict[str, float]:
    """Return loss and metric of a compiled model, as means over the examples of all batches."""
    values = model.evaluate(batches.data(), verbose=0, return_dict=True)
    return {name: float(value) for name, value in values.items()}


def compile_model(
    model: "keras.Model",
    task: "Task",
    optimizer: "keras.optimizers.Optimizer",
    smoothing: float = 0.0,
) -> None:
    """Compile a model with the loss and the metric of the task.

    It also makes the variables of the optimiser and the metric. If the first training step made
    them, TensorFlow would trace it twice.
    """
    metric = getattr(keras.metrics, task.epoch_metric_class)(name=task.epoch_metric)
    model.compile(optimizer, _smoothed(task, smoothing), metrics=[metric])
    if not optimizer.built:
        optimizer.build(model.trainable_variables)


def _smoothed(task: "Task", smoothing: float) -> Any:
    """Return the loss of the task, with label smoothing (Szegedy et al. 2016, section 7)."""
    if not smoothing:
        return task.loss
    if task.loss == "binary_crossentropy":
        return keras.losses.BinaryCrossentropy(label_smoothing=smoothing)
    if task.loss == "sparse_categorical_crossentropy":

        def crossentropy(labels: Any, probabilities: Any) -> Any:
            classes = probabilities.shape[-1]
            targets = keras.ops.one_hot(keras.ops.reshape(labels, (-1,)), classes)
            return keras.losses.categorical_crossentropy(
                targets, probabilities, label_smoothing=smoothing
            )

        return crossentropy
    raise SeedlingsError(
        f"finetune.label_smoothing: expected 0.0, as {task.name} has no classes, found {smoothing}"
    )


def balanced_weights(labels: "Targets") -> dict[int, float]:
    """Return a weight for each class, inversely proportional to its number of examples."""
    from sklearn.utils.class_weight import compute_class_weight  # slow to import

    classes = np.unique(labels)
    weights = compute_class_weight("balanced", classes=classes, y=labels)
    return dict(zip(classes.tolist(), weights.tolist(), strict=True))


def history(record: Record, task: "Task") -> pd.DataFrame:
    """Return the curves of the record as a table with one row for each epoch.

    The metric of the task (accuracy, absolute error, ...) has the column name `score`, so that a
    plot of that column works for every task.
    """
    table = pd.DataFrame(record.curves)
    table.insert(0, "epoch", np.arange(1, len(table) + 1))
    return table.rename(
        columns={task.epoch_metric: "score", f"val_{task.epoch_metric}": "val_score"}
    )


def write_history(record: Record, task: "Task", *, flushed: bool = True) -> None:
    """Write the history as history.csv, and its last epoch as metrics.json, beside the record.

    DVC's tools show both while a stage runs; see `files.replacing` for `flushed`.
    """
    table = history(record, task)
    last = {"epoch": len(table)} | table[["val_score", "val_loss"]].iloc[-1].to_dict()
    report = paths.report(record.stage)
    write_csv(report / "history.csv", table, flushed=flushed)
    write_json(report / "metrics.json", {"last_epoch": last}, flushed=flushed)


def _trainable_layers(model: "keras.Model") -> "keras.Model | None":
    """Return the layers after the cut in the head of a model, or None."""
    layers = architectures.head_of(model).layers
    return next((layer for layer in layers if layer.name == "trainable_layers"), None)


def _set_trainable(model: "keras.Model", trainable: bool) -> None:
    model.trainable = trainable
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def _schedule(schedule: Schedule, rate: float, epochs: int, steps: int) -> Any:
    warmup = schedule.warmup_epochs * steps
    falling = max(1, epochs * steps - warmup)
    match schedule.name:
        case "cosine" if warmup:
            return keras.optimizers.schedules.CosineDecay(
                0.0, falling, schedule.final_share, warmup_target=rate, warmup_steps=warmup
            )
        case "cosine":
            return keras.optimizers.schedules.CosineDecay(rate, falling, schedule.final_share)
        case "exponential":
            return keras.optimizers.schedules.ExponentialDecay(rate, falling, schedule.final_share)
        case _:
            return rate
