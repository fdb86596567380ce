"""Training: optimisers, schedules, and the fit that keeps the best weights."""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from seedlings.batches import Batches
from seedlings.errors import SeedlingsError
from seedlings.params import Baseline, Finetune, Schedule
from seedlings.progress import bar
from seedlings.records import Record
from seedlings.runtime import keras

_LOSS = "sparse_categorical_crossentropy"


def train_baseline(
    model: "keras.Model", train: Batches, validation: Batches, record: Record, params: Baseline
) -> None:
    """Train the baseline as the chapter does: plain SGD for a number of epochs."""
    optimizer = keras.optimizers.SGD(params.learning_rate)
    fit(model, train, validation, record, optimizer=optimizer, epochs=params.epochs)


def train_top(
    top: "keras.Model", train: Batches, validation: Batches, record: Record, params: Finetune
) -> None:
    """Train a head on stored features; then, if asked, the layers above the cut with it.

    Batch normalisation in the layers above the cut keeps its statistics and scales throughout.
    """
    best_loss, best_weights = math.inf, top.get_weights()
    for epochs, rate, above_learns in _phases(params):
        if params.unfreeze.epochs:
            _set_trainable(top.get_layer("above"), above_learns)
        fit(
            top,
            train,
            validation,
            record,
            optimizer=make_optimizer(params, rate=rate, steps=epochs * len(train)),
            epochs=epochs,
            options=params,
        )
        loss = score(top, validation)["loss"]
        if params.early_stopping and loss > best_loss:
            top.set_weights(best_weights)  # the second phase found nothing better
        else:
            best_loss, best_weights = loss, top.get_weights()


def _phases(params: Finetune) -> list[tuple[int, float, bool]]:
    """Epochs, learning rate, and whether the layers above the cut learn, for each phase."""
    phases = [(params.epochs, params.optimizer.learning_rate, False)]
    if params.unfreeze.epochs:
        phases.append((params.unfreeze.epochs, params.unfreeze.learning_rate, True))
    return phases


def make_optimizer(params: Finetune, *, rate: float, steps: int) -> "keras.optimizers.Optimizer":
    """The optimiser, with its learning rate going from `rate` to its final share in `steps`."""
    scheduled = _schedule(params.schedule, rate, steps)
    constants = params.optimizer
    match constants.name:
        case "sgd":
            return keras.optimizers.SGD(scheduled, momentum=constants.momentum)
        case "rmsprop":
            return keras.optimizers.RMSprop(scheduled, momentum=constants.momentum)
        case "adamw":
            return keras.optimizers.AdamW(scheduled, weight_decay=constants.weight_decay)
        case _:
            return keras.optimizers.Adam(scheduled)


def fit(
    model: "keras.Model",
    train: Batches,
    validation: Batches,
    record: Record,
    *,
    optimizer: "keras.optimizers.Optimizer",
    epochs: int,
    options: Finetune | None = None,
) -> None:
    """Train the model in place; each epoch's loss and accuracy go to the record's curves.

    With `options.early_stopping`, training stops after that many epochs without a lower validation
    loss, and the weights of the best epoch are put back, also where all epochs ran.

    Raises SeedlingsError where the loss is no longer a number.
    """
    model.compile(optimizer, _LOSS, metrics=["accuracy"])
    callbacks: list[Any] = [_Report(record, epochs)]
    weights = None
    if options and options.early_stopping is not None:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                "val_loss", patience=options.early_stopping, restore_best_weights=True, verbose=0
            )
        )
    if options and options.class_weights == "balanced":
        weights = balanced_weights(train.labels)
    model.fit(
        train,
        validation_data=validation,
        epochs=epochs,
        callbacks=callbacks,
        class_weight=weights,
        shuffle=False,  # Batches shuffles, from the seed
        verbose=0,
    )


def score(model: "keras.Model", batches: Batches) -> dict[str, float]:
    """Loss and accuracy of a compiled model; sums count, so a short last batch weighs less."""
    values = model.evaluate(batches, verbose=0, return_dict=True)
    return {name: float(value) for name, value in values.items()}


def balanced_weights(labels: NDArray[np.int64]) -> dict[int, float]:
    """A weight for each class that makes all classes count the same."""
    classes = np.unique(labels)
    weights = compute_class_weight("balanced", classes=classes, y=labels)
    return dict(zip(classes.tolist(), weights.tolist(), strict=True))


def history(record: Record) -> pd.DataFrame:
    """The record's curves as a table, one row an epoch."""
    table = pd.DataFrame(record.curves)
    table.insert(0, "epoch", np.arange(1, len(table) + 1))
    return table


def _set_trainable(above: "keras.Model", learns: bool) -> None:
    above.trainable = learns
    for layer in above.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def _schedule(schedule: Schedule, rate: float, steps: int) -> Any:
    match schedule.name:
        case "cosine":
            return keras.optimizers.schedules.CosineDecay(rate, steps, schedule.final_share)
        case "exponential":
            return keras.optimizers.schedules.ExponentialDecay(rate, steps, schedule.final_share)
        case _:
            return rate


class _Report(keras.callbacks.Callback):
    """Shows each epoch on a progress bar and hands it to the record."""

    def __init__(self, record: Record, epochs: int) -> None:
        super().__init__()
        self._record = record
        self._bar = bar(None, record.stage, unit="epoch", total=epochs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        values = dict(logs or {})
        if not all(map(math.isfinite, values.values())):
            raise SeedlingsError(
                f"the training diverged in epoch {epoch + 1}: {values}; "
                f"lower the learning rate (in the section {self._record.stage})"
            )
        self._record.add_epoch(values)
        self._bar.set_postfix(
            {name: f"{values[name]:.3f}" for name in ("loss", "val_loss", "val_accuracy")},
            refresh=False,
        )
        self._bar.update()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._bar.close()
