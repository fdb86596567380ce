"""Snapshots: the state of a training after each epoch, so that a killed one goes on from there."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedlings.batches import Batches
from seedlings.files import remove, replacing
from seedlings.records import Record
from seedlings.runtime import keras

_STOPPING = ("wait", "best", "best_epoch")  # what early stopping knows, besides the best weights


class Snapshot:
    """The state of a training, in a hidden file beside the model that it will become.

    It counts only for the same `key`: a digest of all that the training depends on.
    """

    def __init__(self, target: Path, key: str) -> None:
        self._file = target.with_name(f".{target.name}.snapshot.npz")
        self._key = key

    def save(self, arrays: Sequence[NDArray], facts: dict[str, Any]) -> None:
        """Put the state in the place of the one before, whole or not at all."""
        text = json.dumps({"key": self._key, "facts": facts})
        named: dict[str, Any] = {f"{number:06d}": array for number, array in enumerate(arrays)}
        with replacing(self._file) as scratch, scratch.open("wb") as file:
            np.savez(file, text=np.array(text), **named)

    def load(self) -> tuple[list[NDArray], dict[str, Any]] | None:
        """The arrays and facts that were saved; None where there are none for this key."""
        if not self._file.is_file():
            return None
        with np.load(self._file, allow_pickle=False) as saved:
            content = json.loads(str(saved["text"]))
            if content["key"] != self._key:
                return None
            names = sorted(name for name in saved.files if name != "text")
            return [saved[name] for name in names], content["facts"]

    def remove(self) -> None:
        """Forget the state: the training is done."""
        remove(self._file)


class Keeper(keras.callbacks.Callback):
    """Keeps a snapshot after each epoch but the last, and puts a kept one back.

    It comes last among the callbacks, so that it sees what the others did at the epoch's end.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        model: "keras.Model",
        train: Batches,
        record: Record,
        others: Sequence[Any],
    ) -> None:
        super().__init__()
        self._snapshot, self._network, self._train, self._record = snapshot, model, train, record
        kinds = {type(other): other for other in others}
        self._stopping = kinds.get(keras.callbacks.EarlyStopping)
        self._averages = kinds.get(keras.callbacks.SwapEMAWeights)
        self._kept: dict[str, Any] = {}
        model.optimizer.build(model.trainable_variables)
        self._variables = [*model.variables, *model.optimizer.variables]

    def restore(self) -> int:
        """Put the state back, if there is one; returns how many epochs it has behind it."""
        found = self._snapshot.load()
        if found is None:
            return 0
        arrays, facts = found
        count = len(self._variables)
        for variable, array in zip(self._variables, arrays[:count], strict=True):
            variable.assign(array)
        self._kept = facts["stopping"] | {"best_weights": arrays[count:]}
        if self._averages:  # an epoch ends with the averages in the model, and begins without
            self._averages._ema_weights_in_model = True
        self._train.start(facts["epochs"])
        for values in facts["curves"]:
            self._record.add_epoch(values)
        print(f"{self._record.stage}: {facts['epochs']} epochs were done before", flush=True)
        return int(facts["epochs"])

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Tell early stopping what it knew."""
        if self._stopping:
            for name, value in self._kept.items():
                setattr(self._stopping, name, value)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keep the state; after the last epoch what is left is quickly done again."""
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
        self._snapshot.save(arrays, facts)
