"""Shards: the pieces of a long computation, and the engine that computes them in this process.

What a shard contains and how it is computed is independent of the engine, so that every engine
gives the same bytes. An engine on several machines has the same interface as `Here`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from seedlings.io.progress import bar


@dataclass(frozen=True, slots=True)
class Shard:
    """A piece of a computation: some rows, with a name for its result."""

    name: str  # a file name; the same rows of the same inputs have the same name
    items: Sequence[Any]  # what Work.read needs of each row
    labels: Sequence[str]  # the name of each row in messages, such as the path of its image

    def __len__(self) -> int:
        return len(self.items)

    def single(self) -> Iterator["Shard"]:
        """Yield a shard for each row."""
        for number, (item, label) in enumerate(zip(self.items, self.labels, strict=True)):
            yield Shard(f"{self.name}-{number}", (item,), (label,))


class Work(Protocol):
    """What is computed for each shard. It can be pickled, and may be large: it is sent once."""

    @property
    def name(self) -> str:
        """Name in messages, such as `extract`."""

    def read(self, shard: Shard) -> Any:
        """Return the inputs of a shard from storage. Raises SeedlingsError for bad input."""

    def run(self, inputs: Any) -> Any:
        """Return the result for the inputs of one shard; it does not depend on other shards."""

    def numerics(self) -> str:
        """Return the digest of numerics: of the results for fixed inputs."""


class Sink(Protocol):
    """Where results are kept. A result is complete or missing. It can be pickled."""

    def __contains__(self, name: str) -> bool:
        """Return whether the result with a name is complete."""

    def save(self, name: str, result: Any) -> None:
        """Keep a result under a name, atomically."""


class Engine(Protocol):
    """Where shards are computed: in this process, or on the workers of a cluster."""

    def map(self, work: Work, shards: Sequence[Shard], sink: Sink) -> None:
        """Compute the shards that the sink does not have; afterwards it has all of them."""


class Here:
    """The engine that computes in this process, one shard after the other."""

    def map(self, work: Work, shards: Sequence[Shard], sink: Sink) -> None:
        """Compute the shards that the sink does not have; afterwards it has all of them."""
        missing = remaining(work, shards, sink)
        done = sum(map(len, shards)) - sum(map(len, missing))
        with bar(None, work.name, unit="image", total=sum(map(len, shards)), done=done) as progress:
            for shard in missing:
                sink.save(shard.name, work.run(work.read(shard)))
                progress.update(len(shard))


def remaining(work: Work, shards: Sequence[Shard], sink: Sink) -> list[Shard]:
    """Return the shards that the sink does not have; print how many images are complete."""
    missing = [shard for shard in shards if shard.name not in sink]
    total, left = sum(map(len, shards)), sum(map(len, missing))
    if left < total:
        message = f"{total - left} of {total} images were done before, {left} remain"
        print(f"{work.name}: {message}", flush=True)
    return missing


def cut(
    names: Sequence[str], items: Sequence[Any], labels: Sequence[str], *, size: int
) -> list[Shard]:
    """Return shards of at most `size` rows, in order; `names` are digests of the rows."""
    from seedlings.io.parts import digest  # imports NumPy, which the launcher does not need

    found = []
    for start in range(0, len(names), size):
        part = slice(start, start + size)
        name = digest("\n".join(names[part]).encode())
        found.append(Shard(name, tuple(items[part]), tuple(labels[part])))
    return found
