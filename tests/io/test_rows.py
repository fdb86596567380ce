from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from benchmarks import arrays
from seedlings.io import parts, store
from seedlings.io import rows as module
from seedlings.io.parts import Digests
from seedlings.io.shards import Here, Shard


@dataclass
class Doubling:
    """Doubles rows, and remembers how many."""

    rows: dict[str, np.ndarray]
    name: str = "double"
    seen: int = 0
    result: str = "same"
    killed_after: int = 10**9
    sizes: list[int] = field(default_factory=list)
    row_shape: tuple[int, ...] = (6,)
    dtype: type = np.float32
    shard_size: int = 7

    def read(self, shard: Shard) -> np.ndarray:
        return np.stack([self.rows[digest] for digest, _ in shard.items])

    def run(self, inputs: np.ndarray) -> list[np.ndarray]:
        if self.seen + len(inputs) > self.killed_after:
            raise KeyboardInterrupt
        self.seen += len(inputs)
        self.sizes.append(len(inputs))
        return [inputs * 2.0, inputs.sum(axis=1)]

    def numerics(self) -> str:
        return self.result


@pytest.fixture
def rows(rng: np.random.Generator) -> np.ndarray:
    return rng.random((200, 6)).astype(np.float32)


def build(
    target: Path, work: Doubling, names: Digests, last: Path | None = None, key: str = "key"
) -> dict[str, list[np.ndarray]]:
    array = store.Array(last) if last else None
    labels = [f"{n}.png" for n in range(len(names))]
    wanted = module.Rows(names, labels, labels)
    return module.write(
        target, work, wanted, engine=Here(), key=key, last=array, with_contents=True
    )


def work_of(rows: np.ndarray) -> tuple[Doubling, Digests]:
    names = arrays.digests(rows)
    known = {name.decode(): row for name, row in zip(names.tolist(), rows, strict=True)}
    return Doubling(known), names


def same_files(one: Path, other: Path) -> bool:
    ours, theirs = (
        {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (one, other)
    )
    return ours == theirs


@pytest.mark.parametrize(
    ("before", "after", "computed"),
    [
        (range(180), range(195), 15),  # added
        (range(200), range(10, 200), 0),  # removed
        (range(200), [*range(200)][::-1], 0),  # reordered
        (range(60), range(200), 140),  # with twice the parts
        (range(200), range(50), 0),  # with half the parts
        (range(100), [*range(50), *range(50), 150], 1),  # copies
        (range(100), range(100, 200), 100),  # nothing in common
        (range(100), range(0), 0),  # no row
    ],
)
def test_the_bytes_are_those_of_a_rebuild_and_only_new_rows_are_computed(
    before: list[int],
    after: list[int],
    computed: int,
    tmp_path: Path,
    rows: np.ndarray,
) -> None:
    work, names = work_of(rows)
    build(tmp_path / "before", work, names[before])
    work.seen = 0
    others = build(tmp_path / "grown", work, names[after], tmp_path / "before")
    assert work.seen == len(others) == computed
    assert max([0, *work.sizes]) <= 7
    build(tmp_path / "rebuilt", work, names[after])
    assert same_files(tmp_path / "grown", tmp_path / "rebuilt")
    found = arrays.read(tmp_path / "grown", 0, len(after))
    assert np.array_equal(found, rows[after] * 2.0)
    contents = [parts.row_digest(row).encode() for row in rows[after] * np.float32(2.0)]
    assert store.Array(tmp_path / "grown").contents.tolist() == contents
    for digest, (total,) in others.items():
        assert total == work.rows[digest].sum()


def test_no_row_is_reused_if_this_processor_gives_other_results(
    tmp_path: Path, rows: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    work, names = work_of(rows)
    build(tmp_path / "before", work, names)
    work.seen, work.result = 0, "other"
    build(tmp_path / "after", work, names, tmp_path / "before")
    assert work.seen == 200
    assert (
        "no row is reused, as this processor or size of images gives other results"
        in capsys.readouterr().out
    )


def test_one_line_says_how_many_rows_are_reused(
    tmp_path: Path, rows: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    work, names = work_of(rows)
    build(tmp_path / "before", work, names[:185])
    capsys.readouterr()
    build(tmp_path / "after", work, names, tmp_path / "before")
    printed = capsys.readouterr().out
    assert printed == "double: 185 of 200 rows are reused from the cache, 15 are computed\n"


def test_a_killed_run_resumes_with_the_same_bytes(tmp_path: Path, rows: np.ndarray) -> None:
    work, names = work_of(rows)
    build(tmp_path / "before", work, names[:100])
    work.seen, work.killed_after = 0, 30
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "after", work, names, tmp_path / "before")
    assert not (tmp_path / "after").exists()
    work.killed_after = 10**9
    build(tmp_path / "after", work, names, tmp_path / "before")
    assert work.seen == 100
    build(tmp_path / "rebuilt", work, names)
    assert same_files(tmp_path / "after", tmp_path / "rebuilt")


@pytest.mark.parametrize(("key", "numerics"), [("other", "same"), ("key", "other")])
def test_shards_of_a_killed_run_with_another_key_or_other_numerics_are_computed_again(
    key: str, numerics: str, tmp_path: Path, rows: np.ndarray
) -> None:
    work, names = work_of(rows)
    work.killed_after = 30
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "after", work, names)
    assert work.seen == 28
    work.seen, work.killed_after, work.result = 0, 10**9, numerics
    build(tmp_path / "after", work, names, key=key)
    assert work.seen == 200
