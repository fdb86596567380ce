"""Works and sinks that workers of a cluster can import, which misbehave as their items ask."""

import math
import os
import pickle
import signal
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedlings.cluster import engine
from seedlings.errors import SeedlingsError
from seedlings.io import shards
from seedlings.io.shards import Shard


@dataclass
class Roots:
    """Square roots of numbers, in a batch of fixed size. A string among the items is an order."""

    flags: Path  # a folder that remembers how often something has happened
    delay: float = 0.0
    name: str = "root"
    differs_on: str = ""  # the variable of the environment that changes the results

    def read(self, shard: Shard) -> Sequence[Any]:
        if "unreadable" in shard.items:
            raise SeedlingsError(f"{shard.labels[shard.items.index('unreadable')]}: not an image")
        return shard.items

    def run(self, inputs: Sequence[Any]) -> NDArray[np.float32]:
        time.sleep(self.delay)
        for item in inputs:
            if isinstance(item, str):
                self._obey(*item.partition(" ")[::2])
        batch = np.zeros(16, np.float32)
        batch[: len(inputs)] = [0 if isinstance(item, str) else item for item in inputs]
        return np.sqrt(batch)[: len(inputs)]

    def numerics(self) -> str:
        if self.differs_on in os.environ:
            return "other"
        return np.sqrt(np.arange(16, dtype=np.float32)).tobytes().hex()

    def _obey(self, order: str, when: str) -> None:
        limit = {"once": 1, "thrice": 3}.get(when, math.inf)
        with (self.flags / order).open("ab") as flag:
            if flag.tell() >= limit:
                return
            flag.write(b".")
        if order == "die":  # as the system ends a process without memory
            os.kill(os.getpid(), signal.SIGKILL)
        if order == "hang":
            time.sleep(1000)
        if order == "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        raise ValueError(f"order {order}")


@dataclass
class Apart:
    """Results as files in a folder, of which the engine does not know."""

    place: Path

    def __contains__(self, name: str) -> bool:
        return (self.place / name).is_file()

    def save(self, name: str, result: NDArray[np.float32]) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        scratch = self.place / f".{name}.{uuid.uuid4().hex}"
        scratch.write_bytes(pickle.dumps((os.getpid(), result.tobytes())))
        scratch.rename(self.place / name)

    def bytes(self) -> dict[str, bytes]:
        """The results, by name."""
        return {n: pickle.loads((self.place / n).read_bytes())[1] for n in self._names()}

    def savers(self) -> set[int]:
        """The processes that saved them."""
        return {pickle.loads((self.place / n).read_bytes())[0] for n in self._names()}

    def _names(self) -> list[str]:
        return sorted(p.name for p in self.place.iterdir() if not p.name.startswith("."))


@dataclass
class Folder(Apart):
    """Results as files in a folder that the workers see."""

    @property
    def folder(self) -> Path:
        return self.place


def compute(flags: str, results: str, delay: str) -> None:
    """Compute what `numbers` gives, on the engine that the environment asks for."""
    work = Roots(Path(flags), delay=float(delay))
    engine.choose().map(work, cut(numbers()), Folder(Path(results)))


def numbers() -> list[Any]:
    return [number / 7 for number in range(50)]


def cut(items: Sequence[Any], size: int = 4) -> list[Shard]:
    names = [str(item) for item in items]
    return shards.cut(names, items, [f"{n}.png" for n in range(len(items))], size=size)
