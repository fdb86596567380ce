"""Checkpoints: the batches that a long stage has done, so that a killed one goes on from there."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedlings.files import remove, replacing


class Checkpoint:
    """Numbered batches in a hidden folder beside what they will become.

    They count only for the same `key`: a digest of all that the batches depend on. Each batch
    appears whole or not at all.
    """

    def __init__(self, target: Path, key: str) -> None:
        self._folder = target.with_name(f".{target.name}.parts")
        marker = self._folder / "key"
        if not marker.is_file() or marker.read_text(encoding="utf-8") != key:
            remove(self._folder)
            with replacing(marker) as scratch:
                scratch.write_text(key, encoding="utf-8")

    def __contains__(self, number: int) -> bool:
        return self._part(number).is_file()

    def save(self, number: int, batch: NDArray) -> None:
        """Keep a batch."""
        with replacing(self._part(number)) as scratch, scratch.open("wb") as file:
            np.save(file, batch, allow_pickle=False)

    def load(self, number: int) -> NDArray:
        """A batch that was kept."""
        return np.load(self._part(number), allow_pickle=False)

    def remove(self) -> None:
        """Forget all batches: what they were kept for is done."""
        remove(self._folder)

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:08d}.npy"
