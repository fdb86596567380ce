"""Batches: arrays in portions, for training and for prediction."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings import splits, store
from seedlings.runtime import keras


class Batches(keras.utils.PyDataset):
    """Inputs and labels in batches; every example comes once an epoch, the last batch is shorter.

    With a generator the order is drawn anew before each epoch; without one it stays.
    """

    def __init__(
        self,
        inputs: NDArray,
        labels: NDArray[np.int64],
        *,
        size: int,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        self._inputs, self._labels, self._size, self._rng = inputs, labels, size, rng
        self._order = np.arange(len(inputs))
        self.on_epoch_end()

    @property
    def labels(self) -> NDArray[np.int64]:
        """The labels of all examples, in the order given."""
        return self._labels

    def __len__(self) -> int:
        return math.ceil(len(self._inputs) / self._size)

    def __getitem__(self, index: int) -> tuple[NDArray, NDArray[np.int64]]:
        rows = self._order[index * self._size : (index + 1) * self._size]
        return self._inputs[rows], self._labels[rows]

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        if self._rng is not None:
            self._order = self._rng.permutation(len(self._inputs))


@contextmanager
def of_training(
    array: Path, table: pd.DataFrame, size: int, seed: int
) -> Iterator[tuple[Batches, Batches]]:
    """Batches of the training rows, in an order drawn from the seed, and of the validation rows.

    `array` is a stored array whose rows are those of the split `table`.
    """
    labels = splits.codes(table)
    train, validation = splits.rows(table, "train"), splits.rows(table, "validation")
    with store.unpacked(array, train) as seen, store.unpacked(array, validation) as unseen:
        rng = np.random.default_rng(seed)
        yield (
            Batches(seen, labels[train], size=size, rng=rng),
            Batches(unseen, labels[validation], size=size),
        )


@contextmanager
def of_test(array: Path, table: pd.DataFrame, size: int) -> Iterator[Batches]:
    """Batches of the test rows, in their order."""
    labels = splits.codes(table)
    test = splits.rows(table, "test")
    with store.unpacked(array, test) as unseen:
        yield Batches(unseen, labels[test], size=size)
