import json
import os
import subprocess
from collections.abc import Iterator
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


def copied(folder: Path) -> tuple[Path, Path]:
    """Copy a file of 1 MiB, and change the copy; return both."""
    source, target = folder / "source", folder / "target"
    source.write_bytes(bytes(2**20))
    files.copy(source, target)
    assert target.read_bytes() == bytes(2**20)
    assert target.stat().st_ino != source.stat().st_ino
    return source, target


def test_a_copy_shares_no_change(tmp_path: Path) -> None:
    source, target = copied(tmp_path)
    target.write_bytes(b"changed")
    assert source.read_bytes() == bytes(2**20)


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Path]:
    """A file system with reflinks, in a file."""
    image, folder = tmp_path / "image", tmp_path / "xfs"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(400 * 2**20)
    try:
        subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"XFS cannot be mounted here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_copy_shares_its_blocks_where_the_file_system_can(xfs: Path) -> None:
    (xfs / "large").write_bytes(bytes(range(256)) * 2**18)  # 64 MiB
    os.sync()
    free = os.statvfs(xfs).f_bavail
    files.copy(xfs / "large", xfs / "copy")
    os.sync()
    used = (free - os.statvfs(xfs).f_bavail) * os.statvfs(xfs).f_bsize
    assert used < 2**20
    assert (xfs / "copy").read_bytes() == (xfs / "large").read_bytes()
    copied(xfs)
