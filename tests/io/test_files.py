import json
from pathlib import Path

import pandas as pd
import pytest

from seedlings.io import files


def test_replacing_puts_a_file_in_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with files.replacing(path) as scratch:
        scratch.write_text("done")
        assert not path.exists()
    assert path.read_text() == "done"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_replacing_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / "old").touch()
    with files.replacing(path) as scratch:
        scratch.mkdir()
        (scratch / "new").touch()
    assert [entry.name for entry in path.iterdir()] == ["new"]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), files.replacing(path) as scratch:
        scratch.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_is_not_taken_over(tmp_path: Path) -> None:
    left = tmp_path / ".a.partial"
    left.mkdir()
    (left / "junk").touch()
    with files.replacing(tmp_path / "a") as scratch:
        assert not scratch.exists()
        scratch.mkdir()
    assert list((tmp_path / "a").iterdir()) == []


def test_json_keeps_names_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"b": "Shepherd’s Purse", "a": 1})
    assert "Shepherd’s Purse" in path.read_text(encoding="utf-8")
    assert list(json.loads(path.read_text(encoding="utf-8"))) == ["b", "a"]


def test_json_refuses_what_is_not_a_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_csv_has_no_index(tmp_path: Path) -> None:
    files.write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [1], "y": ["a b"]}, index=[7]))
    assert (tmp_path / "a.csv").read_bytes() == b"x,y\n1,a b\n"
