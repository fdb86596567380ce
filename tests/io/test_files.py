import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import kills
import pandas as pd
import pytest

from seedlings.io import files


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), files.replacing(path) as scratch:
        scratch.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def contents(path: Path) -> dict[str, bytes] | None:
    """The files at and below a path, whose own name is ".", or None if there is nothing."""
    if not path.exists():
        return None
    inside = [path, *path.rglob("*")]
    return {str(p.relative_to(path)): p.read_bytes() if p.is_file() else b"/" for p in inside}


def write_text(path: Path, text: str = "new" * 10) -> None:
    with files.replacing(path) as scratch:
        scratch.write_text(text)


def write_unflushed(path: Path) -> None:
    files.write_text(path, "new" * 10, flushed=False)


def write_shared(path: Path) -> None:
    with files.replacing(path, shared=True) as scratch:
        scratch.write_bytes(b"new" * 10)


def fill(folder: Path, text: str) -> None:
    """Write three files below a new folder."""
    (folder / "inner").mkdir(parents=True)
    for name in ("a", "b", "inner/c"):
        (folder / name).write_text(text)


def write_folder(path: Path) -> None:
    with files.replacing(path) as scratch:
        fill(scratch, "new")


WRITERS = {
    "text": write_text,
    "unflushed": write_unflushed,
    "shared": write_shared,
    "folder": write_folder,
}
BEFORE = {
    "nothing": lambda path: None,
    "file": lambda path: path.write_text("old"),
    "folder": lambda path: fill(path, "old"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("writer", "before"),
    [
        *(("text", "nothing"), ("text", "file"), ("text", "folder")),
        *(("folder", "nothing"), ("folder", "file"), ("folder", "folder")),
        ("shared", "file"),
    ],
)
def test_a_kill_at_any_file_operation_leaves_the_old_or_the_new(
    writer: str, before: str, tmp_path: Path
) -> None:
    write = WRITERS[writer]
    write(tmp_path / "whole")
    new, seen = contents(tmp_path / "whole"), []
    for number in itertools.count(1):
        path = tmp_path / str(number) / "target"
        path.parent.mkdir()
        BEFORE[before](path)
        old = contents(path)
        done = kills.completes(lambda path=path: write(path), tmp_path, number)
        if "folder" not in (writer, before):
            assert contents(path) in (old, new)
        files.recover(path)
        seen.append(contents(path))
        assert seen[-1] in (old, new)
        write(path)
        assert contents(path) == new
        left = {entry.name for entry in path.parent.iterdir()} - {"target"}
        assert all(files.is_partial(name) for name in left) if writer == "shared" else not left
        if done:
            break
    assert seen[0] == old
    assert seen[-1] == new
    assert number > 5  # operations: to open, to write twice, to flush, to rename


@pytest.mark.parametrize(("written", "removed"), [(False, False), (True, False), (True, True)])
def test_a_kill_while_a_folder_is_put_back_loses_nothing(
    written: bool, removed: bool, tmp_path: Path
) -> None:
    fill(tmp_path / "old", "old")
    fill(tmp_path / "new", "new")
    old, new = contents(tmp_path / "old"), contents(tmp_path / "new")
    done, number = False, 0
    while not done:
        number += 1
        path = tmp_path / str(number) / "target"
        fill(path.with_name(".target.old"), "old")
        if written:
            fill(path, "new")
        done = kills.completes(lambda path=path: files.recover(path), tmp_path, number)
        if removed:  # as DVC removes an output before it runs its stage
            files.remove(path)
        files.recover(path)
        expected = (None, old) if removed else (new,) if written else (old,)
        assert contents(path) in expected
    assert number > 1


def test_a_failed_rename_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    fill(path, "old")
    real = os.rename

    def rename(source: Path, target: Path) -> None:
        if target == path and source.name.endswith(".partial"):
            raise OSError("disk full")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="disk full"):
        write_folder(path)
    assert (path / "a").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_processes_that_write_the_same_file_do_not_mix_what_they_write(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with files.replacing(path, shared=True) as one, files.replacing(path, shared=True) as other:
        one.write_text("one")
        with other.open("w") as half:
            half.write("hal")
            half.flush()
            files._replace_file(one, path)
            assert path.read_text() == "one"
            one.write_text("one")
            half.write("f")
    assert path.read_text() == "one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_what_is_written_is_on_the_disk_before_it_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, order, real = tmp_path / "a", [], os.replace

    def flush(file: int) -> None:
        order.append(Path(f"/proc/self/fd/{file}").readlink())

    def replace(source: Path, target: Path) -> None:
        order.append("replace")
        real(source, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", replace)
    write_text(path)
    assert order == [tmp_path / ".a.partial", "replace", tmp_path]
    order.clear()
    files.write_json(path, {"epoch": 1}, flushed=False)
    assert order == ["replace"]


def test_links_are_replaced_and_what_they_share_is_unchanged(tmp_path: Path) -> None:
    cached = tmp_path / "cached"
    cached.write_text("cached")
    cached.chmod(0o444)  # as DVC does it
    (tmp_path / "symbolic").symlink_to(cached)
    (tmp_path / "hard").hardlink_to(cached)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "hard").hardlink_to(cached)
    (tmp_path / "linked").symlink_to(tmp_path / "folder")
    for name in ("symbolic", "hard"):
        write_text(tmp_path / name, "new")
        assert (tmp_path / name).read_text() == "new"
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).stat().st_mode & 0o200
    write_folder(tmp_path / "linked")
    assert not (tmp_path / "linked").is_symlink()
    assert [entry.name for entry in (tmp_path / "folder").iterdir()] == ["hard"]
    write_folder(tmp_path / "folder")
    assert cached.read_text() == "cached"
    assert cached.stat().st_mode & 0o777 == 0o444


def test_a_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    (tmp_path / "other").touch()
    write_text(path)
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    for mode in (0o600, 0o664):
        path.chmod(mode)
        write_text(path)
        assert path.stat().st_mode & 0o777 == mode


def test_json_keeps_names_and_the_order_of_keys_and_refuses_what_is_no_number(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"b": "Shepherd’s Purse", "a": 1})
    written = '{\n  "b": "Shepherd’s Purse",\n  "a": 1\n}\n'
    assert path.read_text(encoding="utf-8") == written
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"loss": float("nan")})
    assert path.read_text(encoding="utf-8") == written


def test_csv_has_no_index(tmp_path: Path) -> None:
    files.write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [1], "y": ["a b"]}, index=[7]))
    assert (tmp_path / "a.csv").read_bytes() == b"x,y\n1,a b\n"


def test_a_copy_shares_no_change(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(2**20))
    files.copy(source, target)
    assert target.read_bytes() == bytes(2**20)
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
    subprocess.run(["sync", "--file-system", str(xfs)], check=True)
    free = os.statvfs(xfs).f_bavail
    files.copy(xfs / "large", xfs / "copy")
    subprocess.run(["sync", "--file-system", str(xfs)], check=True)
    used = (free - os.statvfs(xfs).f_bavail) * os.statvfs(xfs).f_bsize
    assert used < 2**20
    assert (xfs / "copy").read_bytes() == (xfs / "large").read_bytes()
