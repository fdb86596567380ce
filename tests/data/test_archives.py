import io
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nobody
import pytest

from seedlings.data import archives
from seedlings.data.archives import ArchiveError, DamagedArchiveError

CONTENT = {"train/Shepherd’s Purse/a b.png": b"one", "train/Maize/1.png": b"two" * 100}
MODES = ["zip", "w", "w:gz", "w:bz2", "w:xz"]
Members = Iterable[tuple[str, bytes]]


def make_zip(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def make_tar(path: Path, members: Members, mode: str) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def make_archive(path: Path, members: Members, mode: str) -> Path:
    return make_zip(path, members) if mode == "zip" else make_tar(path, members, mode)


def unpack(archive: Path, **changes: Any) -> dict[str, bytes]:
    target = archive.parent / "out"
    values = {"folder": None, "max_files": 1000, "max_bytes": 10**6, **changes}
    archives.unpack(archive, target, **values)
    return {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("mode", MODES)
def test_zip_and_tar_are_unpacked(mode: str, tmp_path: Path) -> None:
    assert unpack(make_archive(tmp_path / "a", CONTENT.items(), mode)) == CONTENT


def test_a_folder_of_the_archive_is_unpacked_without_its_name(tmp_path: Path) -> None:
    content = {**CONTENT, "test/x.png": b"3", "trainer/y.png": b"4"}
    assert unpack(make_zip(tmp_path / "a.zip", content.items()), folder="train") == {
        name.removeprefix("train/"): data for name, data in CONTENT.items()
    }


def test_a_folder_of_the_archive_is_found_in_another_unicode_form(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("e\u0301/1.png", b"1"), ("e/2.png", b"2")])
    assert unpack(path, folder="\u00e9") == {"1.png": b"1"}


def test_what_systems_leave_behind_is_passed_over(tmp_path: Path) -> None:
    leftovers = [
        "__MACOSX/train/._1.png",
        "train/.DS_Store",
        "train/Maize/Thumbs.db",
        "._x",
        ".git/x.png",
    ]
    content = CONTENT | dict.fromkeys(leftovers, b"junk")
    assert unpack(make_zip(tmp_path / "a.zip", content.items())) == CONTENT


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil.png", "leads out of the folder"),
        ("a/../../evil.png", "leads out of the folder"),
        ("/evil.png", "leads out of the folder"),
        ("C:/evil.png", "leads out of the folder"),
        ("..\\evil.png", "leads out of the folder"),
        ("x" * 300, "is too long"),
        ("evil\n.png", "control character"),
        ("evil\u2028.png", "control character"),
    ],
)
@pytest.mark.parametrize("mode", ["zip", "w"])
def test_a_name_that_leads_out_or_cannot_be_kept_is_refused(
    mode: str, name: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "inner").mkdir()
    archive = make_archive(tmp_path / "inner" / "a", [(name, b"evil")], mode)
    with pytest.raises(ArchiveError, match=message):
        unpack(archive)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [archive]


@pytest.mark.parametrize("names", [("x.png", "x.png"), ("a", "a/b.png")])
@pytest.mark.parametrize("mode", ["zip", "w"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(
    mode: str, names: tuple[str, str], tmp_path: Path
) -> None:
    archive = make_archive(tmp_path / "a", [(name, b"1") for name in names], mode)
    with pytest.raises(ArchiveError, match="there twice"):
        unpack(archive)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_link_or_device_in_a_tar_is_refused(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        entry = tarfile.TarInfo("train/link.png")
        entry.type = kind
        entry.linkname = "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(ArchiveError, match="train/link.png is a link or device"):
        unpack(tmp_path / "a.tar")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match="link.png is a link or device"):
        unpack(tmp_path / "a.zip")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [("zeros.png", bytes(10**7))])
    assert archive.stat().st_size < 20_000
    with pytest.raises(ArchiveError, match=r"at most 1,000,000 bytes.*data\.limits\.bytes"):
        unpack(archive)
    assert [*(tmp_path / "out").iterdir()] == []


def test_a_member_larger_than_it_declares_is_damage(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("zeros.png", bytes(10**7))])
    told = path.read_bytes().replace((10**7).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(told)
    with pytest.raises(DamagedArchiveError, match="Bad CRC-32"):
        unpack(path)
    assert (tmp_path / "out" / "zeros.png").stat().st_size <= 10


@pytest.mark.parametrize("ending", [".png", "/"])
def test_too_many_files_and_folders_are_refused(ending: str, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [(f"{n}{ending}", b"") for n in range(11)])
    with pytest.raises(ArchiveError, match=r"at most 10 files \(data\.limits\.files\)"):
        unpack(archive, max_files=10)


CONTENTS = {f"{n}.png": bytes([n]) * 3000 for n in range(10)}


@pytest.mark.parametrize("mode", MODES)
def test_an_archive_cut_anywhere_is_refused(mode: str, tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a", CONTENTS.items(), mode)
    data = path.read_bytes()
    member = 512 + 3072
    end = 10 * member if mode == "w" else len(data)  # what follows is padding
    for length in [*range(1, end, end // 40), 5 * member, 5 * member + 100, end - 1]:
        if length < end:
            path.write_bytes(data[:length])
            with pytest.raises(DamagedArchiveError, match="expected a whole zip or tar"):
                unpack(path)
            shutil.rmtree(tmp_path / "out", ignore_errors=True)


@pytest.mark.parametrize("mode", ["zip", "w:gz", "w:bz2", "w:xz"])
def test_a_flipped_byte_is_refused_or_harmless(mode: str, tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a", CONTENTS.items(), mode)
    data = path.read_bytes()
    refused = 0
    for place in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            found = unpack(path)
        except ArchiveError:
            refused += 1
        else:  # a name or a time stamp: the contents are what they were
            assert sorted(found.values()) == sorted(CONTENTS.values())
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert refused > 5


def test_what_a_fuzzer_found_is_damage(tmp_path: Path) -> None:
    nameless = tmp_path / "nameless" / "a.zip"
    nameless.parent.mkdir()
    with zipfile.ZipFile(nameless, "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), b"")
    moved = make_zip(tmp_path / "a.zip", [("a", b"")])
    data = bytearray(moved.read_bytes())
    place = data.index(b"PK\x05\x06") + 16  # where the index begins
    data[place : place + 4] = (10_000).to_bytes(4, "little")
    moved.write_bytes(data)
    for path in (nameless, moved):
        with pytest.raises(ArchiveError, match="expected"):
            unpack(path)


def test_names_that_are_utf8_without_saying_so_survive(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", CONTENT.items())
    data = bytearray(path.read_bytes())
    for marker, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(marker)
        while place >= 0:
            data[place + offset + 1] &= ~0x08  # the flag that says UTF-8
            place = data.find(marker, place + 4)
    path.write_bytes(data)
    assert unpack(path) == CONTENT


def coded(path: Path, names: Iterable[str], codec: str, *, with_unicode: bool = False) -> Path:
    """A zip with names in a code page, without the flag of UTF-8, as tools on Windows write it."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            data = name.encode(codec)
            # Names of the same length in ASCII, which are replaced below.
            info = zipfile.ZipInfo(str(number) * len(data))
            if with_unicode:  # APPNOTE 4.6.9
                field = b"\1" + zlib.crc32(data).to_bytes(4, "little") + name.encode()
                info.extra = b"\x75\x70" + len(field).to_bytes(2, "little") + field
            archive.writestr(info, name)
    content = path.read_bytes()
    for number, name in enumerate(names):
        data = name.encode(codec)
        content = content.replace(str(number).encode() * len(data), data)
    path.write_bytes(content)
    return path


NAMES = {
    "gbk": ["小麦/小麦.png", "玉米/x.png"],
    "cp932": ["表面/表.png", "裏面/x.png"],
    "cp850": ["Möhre/1.png", "Rübe/x.png"],
    "cp437": ["Möhre/1.png", "Rübe/x.png"],
}


@pytest.mark.parametrize("codec", NAMES)
def test_names_in_a_code_page_are_read_with_it_and_refused_without(
    codec: str, tmp_path: Path
) -> None:
    path = coded(tmp_path / "a.zip", NAMES[codec], codec)
    with pytest.raises(ArchiveError, match=r"expected names in UTF-8, .*data\.encoding.*reads '"):
        unpack(path)
    shutil.rmtree(tmp_path / "out")
    assert unpack(path, encoding=codec) == {name: name.encode() for name in NAMES[codec]}


def test_an_encoding_that_does_not_fit_is_refused_with_those_that_do(tmp_path: Path) -> None:
    path = coded(tmp_path / "a.zip", NAMES["cp932"], "cp932")
    message = (
        r"expected names in ascii, found b'\\x95\\\\\\x96.*cp932 \(Japanese\) reads '表面/表\.png'"
    )
    with pytest.raises(ArchiveError, match=message):
        unpack(path, encoding="ascii")


def test_a_name_in_utf8_beside_that_in_a_code_page_is_used(tmp_path: Path) -> None:
    path = coded(tmp_path / "a.zip", NAMES["gbk"], "gbk", with_unicode=True)
    assert unpack(path).keys() == {*NAMES["gbk"]}


def test_names_of_a_tar_in_another_encoding_are_read_with_it_and_refused_without(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", encoding="cp932", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("表面/1.png"), io.BytesIO())
    with pytest.raises(ArchiveError, match=r"expected names in UTF-8, .*cp932 .* '表面/1\.png'"):
        unpack(path)
    shutil.rmtree(tmp_path / "out")
    assert [*unpack(path, encoding="cp932")] == ["表面/1.png"]


def test_folders_whose_names_end_with_a_backslash_are_folders(tmp_path: Path) -> None:
    path = make_zip(
        tmp_path / "a.zip", [("cats\\", b""), ("cats\\1.png", b"1"), ("b\\2.png", b"2")]
    )
    assert unpack(path) == {"cats/1.png": b"1", "b/2.png": b"2"}


def test_a_zip_with_the_number_of_members_modulo_65536_is_unpacked(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [(f"a/{n}", b"") for n in range(65_537)])
    data = path.read_bytes()
    end = data.rindex(b"PK\x06\x06")  # the end record of Zip64, which macOS does not write
    size, start = struct.unpack("<QQ", data[end + 40 : end + 56])
    record = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, size, start, 0)
    path.write_bytes(data[:end] + record)
    with pytest.raises(ArchiveError, match=r"at most 10 files"):  # so the members are there
        unpack(path, max_files=10)


def altered(path: Path, place: int, number: int) -> None:
    """Set two bytes of the headers of the only member of a zip: its flags (6) or its method (8)."""
    data = bytearray(path.read_bytes())
    for header, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        at = data.index(header) + place + shift
        data[at : at + 2] = number.to_bytes(2, "little")
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("place", "number", "message"),
    [
        (8, 9, r"found a zip compressed with Deflate64 \(method 9\); unpack it yourself"),
        (8, 93, r"found a zip compressed with Zstandard \(method 93\)"),
        (8, 77, r"found a zip compressed with an unknown method \(method 77\)"),
        (6, 1, r"found a zip with a password; unpack it yourself"),
    ],
)
def test_a_zip_that_python_cannot_unpack_is_not_damaged(
    place: int, number: int, message: str, tmp_path: Path
) -> None:
    path = make_zip(tmp_path / "a.zip", [("a.png", b"1")])
    altered(path, place, number)
    with pytest.raises(ArchiveError, match=message) as caught:
        unpack(path)
    assert not isinstance(caught.value, DamagedArchiveError)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"Rar!\x1a\x07\x01\x00", "found a RAR archive; unpack it yourself"),
        (b"7z\xbc\xaf\x27\x1c", "found a 7z archive"),
        (b"\x28\xb5\x2f\xfd", "found a file compressed with Zstandard"),
        (b"PK\x07\x08PK\x03\x04", "found the first part of a zip in several parts"),
    ],
)
def test_an_archive_of_another_kind_is_named(start: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(start + bytes(100))
    with pytest.raises(ArchiveError, match=message) as caught:
        unpack(tmp_path / "a.zip")
    assert not isinstance(caught.value, DamagedArchiveError)


def test_the_last_part_of_a_zip_is_named(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("a.png", b"1")])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x05\x06") + 4] = 2  # the number of this part
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="found the last part of a zip in several parts"):
        unpack(path)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("<html>Not found</html>")
    with pytest.raises(ArchiveError, match="found a file that begins with b'<html>No'"):
        unpack(tmp_path / "a.zip")


@pytest.mark.parametrize(("content", "folder"), [({}, None), (CONTENT, "validation")])
def test_an_archive_without_the_files_is_refused(
    content: dict[str, bytes], folder: str | None, tmp_path: Path
) -> None:
    archive = make_zip(tmp_path / "a.zip", content.items())
    with pytest.raises(ArchiveError, match="expected files.*found none"):
        unpack(archive, folder=folder)


def test_copy_folder_follows_links_to_files_and_lists_what_cannot_be_copied(
    tmp_path: Path,
) -> None:
    source, target = tmp_path / "source", tmp_path / "out"
    (source / "a b").mkdir(parents=True)
    (source / "a b" / "1.png").write_bytes(b"1")
    (source / "a b" / "2.png").symlink_to(source / "a b" / "1.png")
    (source / ".DS_Store").write_bytes(b"junk")
    (source / "dangling.png").symlink_to(source / "nothing")
    (source / "round").symlink_to(source)
    (source / "line\nbreak.png").touch()
    (source / os.fsdecode(b"caf\xe9.png")).touch()
    not_utf8, dangling, control, linked = archives.copy_folder(source, target)
    assert "not UTF-8" in not_utf8
    assert "control character" in control
    (not_utf8 + control).encode()  # the messages themselves can be printed
    for path, told in ((source / "dangling.png", dangling), (source / "round", linked)):
        assert told == f"{path}: a dangling link, a linked folder or a device"
    assert sorted(path.name for path in target.rglob("*")) == ["1.png", "2.png", "a b"]
    assert (target / "a b" / "2.png").read_bytes() == b"1"
    assert not (target / "a b" / "2.png").is_symlink()


def test_copy_folder_lists_what_may_not_be_read() -> None:
    with nobody.folder() as folder:
        source, closed = folder / "source", folder / "source" / "closed"
        closed.mkdir(parents=True)
        for path in (closed / "inside.png", source / "open.png", source / "secret.png"):
            path.touch()
        (source / "secret.png").chmod(0)
        closed.chmod(0)
        told = nobody.answer(
            "from seedlings.data import archives",
            "archives.copy_folder(Path(given['source']), Path(given['target']))",
            source=str(source),
            target=str(folder / "out"),
        )
        assert told == [f"{path}: it may not be read" for path in (closed, source / "secret.png")]
        assert [path.name for path in (folder / "out").iterdir()] == ["open.png"]
        closed.chmod(0o700)  # so that it can be removed
