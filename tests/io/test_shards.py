from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from seedlings.io import shards
from seedlings.io.shards import Here, Shard


@dataclass
class Squares:
    """Squares numbers, and remembers which."""

    name: str = "square"
    seen: list[int] = field(default_factory=list)

    def read(self, shard: Shard) -> Sequence[int]:
        return shard.items

    def run(self, inputs: Sequence[int]) -> list[int]:
        self.seen += inputs
        return [number * number for number in inputs]

    def numerics(self) -> str:
        return str(self.run([3]))


class Memory(dict[str, Any]):
    def save(self, name: str, result: Any) -> None:
        self[name] = result


def cut(count: int, size: int) -> list[Shard]:
    names = [f"{number:02x}" for number in range(count)]
    return shards.cut(names, range(count), [f"{n}.png" for n in names], size=size)


def test_every_row_is_in_one_shard_in_order() -> None:
    found = cut(7, 3)
    assert [shard.items for shard in found] == [(0, 1, 2), (3, 4, 5), (6,)]
    assert found[2].labels == ("06.png",)
    assert len({shard.name for shard in found}) == 3
    assert found[0].name == cut(3, 3)[0].name != cut(7, 2)[0].name
    assert [single.items for single in found[0].single()] == [(0,), (1,), (2,)]
    assert len({single.name for single in found[0].single()}) == 3


def test_only_what_is_missing_is_computed(capsys: pytest.CaptureFixture[str]) -> None:
    work, sink, pieces = Squares(), Memory(), cut(7, 3)
    sink.save(pieces[1].name, [9, 16, 25])
    Here().map(work, pieces, sink)
    assert work.seen == [0, 1, 2, 6]
    assert [sink[piece.name] for piece in pieces] == [[0, 1, 4], [9, 16, 25], [36]]
    assert "square: 3 of 7 images were done before, 4 remain" in capsys.readouterr().out
