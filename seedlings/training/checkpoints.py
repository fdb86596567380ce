"""Checkpoints: the state of training after each epoch, from which a killed run resumes."""

from collections.abc import Sequence
from typing import Any

from seedlings.config.records import Record
from seedlings.io.partial_results import PartialResults
from seedlings.networks.runtime import keras
from seedlings.training.batches import Batches

_STOPPING = ("wait", "best", "best_epoch")  # the state of early stopping, besides the best weights
_NAME = "epoch"


class Checkpoint(keras.callbacks.Callback):
    """Saves the state after each epoch except the last, and restores it.

    It must be the last callback, because it saves the state of the others at the end of an epoch.
    """

    def __init__(
        self,
        partial: PartialResults,
        model: "keras.Model",
        train: Batches,
        record: Record,
        others: Sequence[Any],
    ) -> None:
        super().__init__()
        self._partial, self._network, self._train, self._record = partial, model, train, record
        kinds = {type(other): other for other in others}
        self._stopping = kinds.get(keras.callbacks.EarlyStopping)
        self._averages = kinds.get(keras.callbacks.SwapEMAWeights)
        self._stopped: dict[str, Any] = {}
        model.optimizer.build(model.trainable_variables)
        self._variables = [*model.variables, *model.optimizer.variables]

    def restore(self) -> int:
        """Restore the state, if there is one, and return the number of completed epochs."""
        if _NAME not in self._partial:
            return 0
        arrays, facts = self._partial.load(_NAME)
        count = len(self._variables)
        for variable, array in zip(self._variables, arrays[:count], strict=True):
            variable.assign(array)
        self._stopped = facts["stopping"] | {"best_weights": arrays[count:]}
        if self._averages:  # the next epoch swaps the restored averages out
            self._averages._ema_weights_in_model = True
        self._train.start(facts["epochs"])
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
            {name: curve[row] for name, curve in curves.items()} for row in range(epoch + 1)
        ]
        self._partial.save(_NAME, arrays, facts)
