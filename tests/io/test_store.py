import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import arrays
from seedlings.errors import SeedlingsError
from seedlings.io import parts, store

write = partial(arrays.write, with_contents=False)


@pytest.fixture
def rows(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (37, 4, 5, 3), dtype=np.uint8)


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_rows_come_back_in_their_order(tmp_path: Path, rows: np.ndarray) -> None:
    write(tmp_path / "a", rows)
    assert store.shape(tmp_path / "a") == rows.shape
    assert store.Array(tmp_path / "a").numerics == ""
    assert store.Array(tmp_path / "a").dtype == np.uint8
    assert np.array_equal(arrays.read(tmp_path / "a", 3, 31), rows[3:31])
    assert np.array_equal(store.Array(tmp_path / "a").row(17), rows[17])


def test_a_new_row_changes_one_part_and_a_new_order_none(tmp_path: Path, rows: np.ndarray) -> None:
    write(tmp_path / "a", rows[:36])
    write(tmp_path / "b", rows)
    before, after = files(tmp_path / "a"), files(tmp_path / "b")
    changed = {name for name in after if before.get(name) != after[name]}
    assert {name for name in changed if name.startswith("data/")} == changed - {
        "rows.npy",
        "meta/sizes",
    }
    assert len(changed) == 3
    write(tmp_path / "c", rows[::-1])
    reordered = files(tmp_path / "c")
    assert {name for name in after if after[name] != reordered[name]} == {"rows.npy"}
    assert np.array_equal(arrays.read(tmp_path / "c", 0, 37), rows[::-1])


def test_equal_rows_are_stored_once(tmp_path: Path, rows: np.ndarray) -> None:
    arrays.write(tmp_path / "a", rows[[0, 1, 0, 2, 1]])
    arrays.write(tmp_path / "b", rows[[0, 1, 2]])
    assert np.array_equal(arrays.read(tmp_path / "a", 0, 5), rows[[0, 1, 0, 2, 1]])
    one, other = files(tmp_path / "a"), files(tmp_path / "b")
    assert {name for name in one if one[name] != other[name]} == {"rows.npy", "contents.npy"}


@pytest.mark.parametrize("wanted", [[36, 0, 12, 11, 20, 12], []])
def test_unpacked_gives_the_rows_in_the_order_asked(
    wanted: list[int], tmp_path: Path, rows: np.ndarray
) -> None:
    write(tmp_path / "a", rows)
    places = np.array(wanted, int)
    with store.unpacked(tmp_path / "a", places) as array:
        assert np.array_equal(array, rows[places])
        assert [path.name for path in tmp_path.iterdir()] == ["a"]


def create(path: Path, rows: np.ndarray, made: np.ndarray | Exception) -> None:
    """Write an array of which `made` are the rows of each part."""

    def rows_of(keys: parts.Digests) -> np.ndarray:
        if isinstance(made, Exception):
            raise made
        return made

    names = arrays.digests(rows)
    store.write(path, names, rows_of, row_shape=rows.shape[1:], dtype=np.uint8)


@pytest.mark.parametrize("made", [np.zeros((38, 4, 5, 3), np.uint8), RuntimeError("rows")])
def test_an_array_that_is_not_finished_is_not_there(
    made: np.ndarray | Exception, tmp_path: Path, rows: np.ndarray
) -> None:
    with pytest.raises((ValueError, RuntimeError), match="rows|broadcast"):
        create(tmp_path / "a", rows, made)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_array_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SeedlingsError, match="found none; run `dvc repro`"):
        store.shape(tmp_path / "a")


def test_an_array_without_rows_survives_the_loss_of_its_empty_folder(tmp_path: Path) -> None:
    store.write(tmp_path / "a", parts.digests([]), len, row_shape=(2, 3), dtype=np.float32)
    (tmp_path / "a" / "data").rmdir()  # as where DVC brings it back
    assert store.shape(tmp_path / "a") == (0, 2, 3)
