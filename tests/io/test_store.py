import hashlib
from pathlib import Path

import numpy as np
import pytest

from seedlings.errors import SeedlingsError
from seedlings.io import store


@pytest.fixture
def rows(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.setattr(store, "_CHUNK_BYTES", 10 * 4 * 5 * 3)  # ten rows a chunk
    return rng.integers(0, 256, (37, 4, 5, 3), dtype=np.uint8)


def write(path: Path, rows: np.ndarray, batch: int) -> None:
    with store.create(path, rows.shape[1:], rows.dtype) as writer:
        for start in range(0, len(rows), batch):
            writer.append(rows[start : start + batch])


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return total.hexdigest()


def test_rows_come_back(tmp_path: Path, rows: np.ndarray) -> None:
    write(tmp_path / "a", rows, 8)
    assert store.shape(tmp_path / "a") == rows.shape
    assert store.dtype(tmp_path / "a") == np.uint8
    assert np.array_equal(store.read(tmp_path / "a", 3, 31), rows[3:31])


def test_batches_hold_every_row_once_and_the_last_may_be_short(
    tmp_path: Path, rows: np.ndarray
) -> None:
    write(tmp_path / "a", rows, 37)
    batches = list(store.batches(tmp_path / "a", 8))
    assert [len(batch) for batch in batches] == [8, 8, 8, 8, 5]
    assert np.array_equal(np.concatenate(batches), rows)


def test_the_bytes_depend_on_the_rows_alone(tmp_path: Path, rows: np.ndarray) -> None:
    write(tmp_path / "a", rows, 8)
    write(tmp_path / "b", rows, 37)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    write(tmp_path / "c", 255 - rows, 8)
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_many_rows_make_few_files(tmp_path: Path, rows: np.ndarray) -> None:
    write(tmp_path / "a", rows, 8)
    assert len(list((tmp_path / "a" / "data").glob("*.blp"))) == 4


def test_unpacked_gives_the_rows_in_the_order_asked(tmp_path: Path, rows: np.ndarray) -> None:
    write(tmp_path / "a", rows, 8)
    wanted = np.array([36, 0, 12, 11, 20])
    with store.unpacked(tmp_path / "a", wanted) as array:
        assert np.array_equal(array, rows[wanted])
        assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_unpacked_gives_no_rows(tmp_path: Path, rows: np.ndarray) -> None:
    write(tmp_path / "a", rows, 8)
    with store.unpacked(tmp_path / "a", np.array([], int)) as array:
        assert array.shape == (0, 4, 5, 3)


def test_an_array_that_was_not_finished_is_not_there(tmp_path: Path, rows: np.ndarray) -> None:
    with (
        pytest.raises(RuntimeError, match="stop"),
        store.create(tmp_path / "a", rows.shape[1:], rows.dtype) as writer,
    ):
        writer.append(rows)
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_array_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SeedlingsError, match="found none; run `dvc repro`"):
        store.shape(tmp_path / "a")


def test_an_array_without_rows_survives_the_loss_of_its_empty_folder(tmp_path: Path) -> None:
    with store.create(tmp_path / "a", (2, 3), np.float32):
        pass
    (tmp_path / "a" / "data").rmdir()  # as where DVC brings it back
    assert store.shape(tmp_path / "a") == (0, 2, 3)
