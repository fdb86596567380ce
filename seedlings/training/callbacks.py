"""Callbacks of training: the report of each epoch, averaged weights, and checkpoints."""

import math
from collections.abc import Sequence
from typing import Any

from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.io.partial_results import PartialResults
from seedlings.io.progress import bar
from seedlings.networks.runtime import keras

_STOPPING = ("wait", "best", "best_epoch")  # the state of early stopping, besides the best weights


class Report(keras.callbacks.Callback):
    """Shows each epoch in a progress bar, and adds it to the record."""

    def __init__(self, record: Record, epochs: int) -> None:
        super().__init__()
        self._record, self._epochs, self._before = record, epochs, record.epochs

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Open the bar at the epochs that a checkpoint has restored."""
        done = self._record.epochs - self._before
        self._bar = bar(None, self._record.stage, unit="epoch", total=self._epochs, done=done)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Show and record the values. Raises SeedlingsError if one is not finite."""
        values = dict(logs or {})
        if not all(map(math.isfinite, values.values())):
            raise SeedlingsError(
                f"the training diverged in epoch {epoch + 1}: {values}; "
                f"lower the learning rate (in the section {self._record.stage})"
            )
        self._record.add_epoch(values)
        self._bar.set_postfix({name: f"{x:.3f}" for name, x in values.items()}, refresh=False)
        self._bar.update()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Close the bar."""
        self._bar.close()


class Averages(keras.callbacks.Callback):
    """Puts the averages of the weights into the model from its validation to the end of the epoch.

    Callbacks before this one see the averages at the end of an epoch, those after it the weights.
    At the end of training, Keras puts the averages into the model.
    """

    def __init__(self) -> None:
        super().__init__()
        self._weights: list[Any] = []

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Keep the weights, and put their averages into the model."""
        optimizer = self.model.optimizer
        variables = optimizer._trainable_variables
        self._weights = [keras.ops.copy(variable) for variable in variables]
        _assign(variables, optimizer._model_variables_moving_average)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Put the weights back, if there was a validation."""
        if self._weights:
            _assign(self.model.optimizer._trainable_variables, self._weights)
            self._weights = []


class Checkpoint(keras.callbacks.Callback):
    """Saves the state after each epoch of a phase except the last, and restores it.

    It must be the last callback, because it saves the state of the others at the end of an epoch.
    The name of a phase is the number of epochs of the record before it.
    """

    def __init__(
        self,
        partial: PartialResults,
        model: "keras.Model",
        record: Record,
        others: Sequence[Any],
    ) -> None:
        super().__init__()
        self._partial, self._network, self._record = partial, model, record
        self._before = record.epochs
        self._name = f"epoch-after-{self._before}"
        kinds = {type(other): other for other in others}
        self._stopping = kinds.get(keras.callbacks.EarlyStopping)
        self._stopped: dict[str, Any] = {}
        self._variables = [*model.variables, *model.optimizer.variables]

    def restore(self) -> int:
        """Restore the state, if there is one, and return the number of completed epochs."""
        if self._name not in self._partial:
            return 0
        arrays, facts = self._partial.load(self._name)
        count = len(self._variables)
        _assign(self._variables, arrays[:count])
        self._stopped = facts["stopping"] | {"best_weights": arrays[count:]}
        for values in facts["curves"]:
            self._record.add_epoch(values)
        print(f"{self._record.stage}: {facts['epochs']} epochs were done before", flush=True)
        return int(facts["epochs"])

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Restore the state of early stopping."""
        if self._stopping:
            for name, value in self._stopped.items():
                setattr(self._stopping, name, value)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save the state, except after the last epoch."""
        if self._network.stop_training or epoch + 1 == self.params["epochs"]:
            return
        arrays = [keras.ops.convert_to_numpy(variable) for variable in self._variables]
        facts: dict[str, Any] = {"epochs": epoch + 1, "stopping": {}}
        if self._stopping:
            facts["stopping"] = {name: getattr(self._stopping, name) for name in _STOPPING}
            arrays += self._stopping.best_weights
        curves = self._record.curves
        facts["curves"] = [
            {name: curve[self._before + row] for name, curve in curves.items()}
            for row in range(epoch + 1)
        ]
        self._partial.save(self._name, arrays, facts)


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
