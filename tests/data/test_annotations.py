from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedlings.data import annotations, image_folder
from seedlings.data.params import Annotations
from seedlings.errors import SeedlingsError
from seedlings.tasks import TASKS


def csv_file(**changes: Any) -> Annotations:
    values = {
        "file": "log.csv",
        "path": 0,
        "label": 3,
        "header": False,
        "images": "IMG",
        "match": "name",
        "ending": "",
        "separator": "",
        "block": None,
    }
    return Annotations(**{**values, **changes})


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "IMG").mkdir()
    for name in ("c1.jpg", "c2.jpg", "c3.jpg", "rest.jpg"):
        (tmp_path / "IMG" / name).touch()
    return tmp_path


def test_a_driving_log_is_read_by_the_last_part_of_its_paths(raw: Path) -> None:
    (raw / "log.csv").write_text(
        "C:\\Users\\me\\IMG\\c2.jpg, IMG/l.jpg, IMG/r.jpg, -0.25, 1, 0, 30\n"
        "/home/me/IMG/c1.jpg, IMG/l.jpg, IMG/r.jpg, 0.5, 1, 0, 30\n"
    )
    table, bad = annotations.read(raw, csv_file(), TASKS["regression"])
    assert bad == []
    assert table["path"].tolist() == ["IMG/c1.jpg", "IMG/c2.jpg"]
    assert table["label"].tolist() == ["0.5", "-0.25"]
    assert annotations.unnamed(raw, table, csv_file()) == ["IMG/c3.jpg", "IMG/rest.jpg"]


def test_tags_are_split_and_named_columns_and_endings_used(raw: Path) -> None:
    (raw / "log.csv").write_text("image_name,tags\nc1,partly cloudy|sea\nc2,sea\n")
    named = csv_file(path="image_name", label="tags", header=True, ending=".jpg", separator="|")
    table, bad = annotations.read(raw, named, TASKS["multilabel"])
    assert bad == []
    assert table["label"].tolist() == ["partly_cloudy sea", "sea"]


def test_every_row_that_cannot_be_used_is_told_with_its_line(raw: Path) -> None:
    rows = {
        "c1.jpg,l,r,0.5": "",
        "c1.jpg,l,r,0.50": "a second time",
        "gone.jpg,l,r,0": "is not there",
        "c2.jpg,l,r,left": "'left'",
        "c3.jpg,l,r,": "found ''",
        f"{'x' * 300},l,r,0.5": "File name too long",
    }
    (raw / "log.csv").write_text("\n".join(rows))
    table, bad = annotations.read(raw, csv_file(), TASKS["regression"])
    assert table["path"].tolist() == ["IMG/c1.jpg"]
    for number, (line, reason) in enumerate(zip(bad, [*rows.values()][1:], strict=True), 2):
        assert f"line {number}: " in line
        assert reason in line


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "a/../../x"])
def test_a_row_cannot_leave_the_folder(path: str, raw: Path) -> None:
    (raw / "log.csv").write_text(f"{path},l,r,0.5\n")
    _, [reason] = annotations.read(raw, csv_file(match="path"), TASKS["regression"])
    assert "leaves the folder of images" in reason


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        (None, {}, r"data\.annotations\.file: expected a CSV file at .*log\.csv, found none"),
        ("", {}, r"log\.csv is no CSV file"),
        ("a,b\n", {}, r"data\.annotations\.label: expected a column .*, found 3; there are 0, 1"),
        ("a,b\n1,2\n", {"path": "x", "header": True}, r"annotations\.path: .*'x'; there are a, b"),
    ],
)
def test_annotations_that_does_not_fit_is_told(
    text: str | None, changes: dict[str, Any], message: str, raw: Path
) -> None:
    if text is not None:
        (raw / "log.csv").write_text(text)
    with pytest.raises(SeedlingsError, match=message):
        annotations.read(raw, csv_file(**changes), TASKS["multiclass"])


def test_one_class_alone_is_refused(raw: Path) -> None:
    (raw / "log.csv").write_text("c1.jpg,l,r,only\nc2.jpg,l,r,only\n")
    with pytest.raises(SeedlingsError, match="two classes in the column 3.*found only 'only'"):
        image_folder.read(raw, csv_file(), "share", TASKS["multiclass"])


def rows_of(exact: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"exact": exact.astype(np.uint64), "row": np.arange(len(exact))})


def test_without_blocks_a_unit_is_an_image() -> None:
    table = pd.DataFrame({"exact": np.array([7, 2**64 - 1], np.uint64)})
    assert annotations.units(table, None).tolist() == [7, 2**64 - 1]


def test_a_block_begins_at_the_smallest_hash_around() -> None:
    exact = np.array([5, 3, 9, 8, 7, 1, 6, 4, 2, 9])
    # 3 and 1 and 2 are the smallest of five, the two before and the two after them.
    expected = [3, 3, 3, 3, 3, 1, 1, 1, 2, 2]
    assert annotations.units(rows_of(exact), 4).tolist() == expected
    shuffled = rows_of(exact).sample(frac=1, random_state=0)
    found = annotations.units(shuffled, 4)
    assert found[np.argsort(shuffled["row"])].tolist() == expected


def test_blocks_have_about_their_length(rng: np.random.Generator) -> None:
    exact = rng.integers(0, 2**63, 20_000).astype(np.uint64) * 2 + 1
    lengths = np.unique(annotations.units(rows_of(exact), 50), return_counts=True)[1]
    assert lengths.mean() == pytest.approx(51, rel=0.05)
    assert np.sort(lengths)[1] >= 26  # but for the last block
    assert lengths.max() < 50 * 4


def test_a_row_more_or_less_changes_only_the_blocks_beside_it(rng: np.random.Generator) -> None:
    exact = rng.integers(0, 2**63, 2_000).astype(np.uint64)
    before = annotations.units(rows_of(exact), 20)
    for _ in range(50):
        place = int(rng.integers(len(exact)))
        after = annotations.units(rows_of(np.delete(exact, place)), 20)
        changed = np.flatnonzero(np.delete(before, place) != after)
        names = set(np.delete(before, place)[changed])
        assert len(names) <= 2
        assert all(abs(row - place) < 100 for row in changed)
