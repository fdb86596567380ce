"""Archives: zip and tar, unpacked without trust."""

import errno
import gzip
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Any

from seedlings.errors import SeedlingsError
from seedlings.io.path_filters import flaw_of, is_leftover

_BLOCK = 1 << 20
_TAR_BLOCK = 512
_ZIP_END_AT_MOST = 22 + 0xFFFF  # bytes: the end of the index, and a comment
_ZIP64 = 0xFFFF  # stands for a number that is elsewhere


class ArchiveError(SeedlingsError):
    """An archive that is hostile, larger than allowed, or does not hold what it should."""


class DamagedArchiveError(ArchiveError):
    """An archive that is truncated, damaged, encrypted, or no archive at all."""


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    is_folder: bool
    is_file: bool
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path, target: Path, *, folder: str | None, max_files: int, max_bytes: int
) -> int:
    """Unpack a zip or tar (plain, gz, bz2, xz) into the folder `target`; returns the files made.

    With `folder`, only what lies in that folder of the archive is unpacked, without its name.
    Names, kinds and sizes are checked as the members are read: sizes that an archive declares are
    not believed. What systems leave behind is passed over.

    Raises ArchiveError for an absolute name or one with `..`, a link or device, more than
    `max_files` files and folders or `max_bytes` bytes; DamagedArchiveError for what is damaged.
    """
    target.mkdir(parents=True)
    unpacking = _Unpacking(archive, target, max_files, max_bytes)
    for member in _members(archive):
        unpacking.take(member, PurePosixPath(folder or ""))
    if not unpacking.files:
        where = f" in its folder {folder!r} (data.folder)" if folder else ""
        raise ArchiveError(f"{archive}: expected files{where}, found none")
    return unpacking.files


_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, LZMAError, EOFError),
    *(NotImplementedError, RuntimeError, IndexError, OverflowError, ValueError, struct.error),
)


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turn what zipfile and tarfile raise for a damaged archive into DamagedArchiveError.

    It surrounds their calls alone, so that an error of this module is never taken for damage.
    """
    try:
        yield
    except _DAMAGE as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # of the disk, not of the archive
            raise
        raise _damaged(archive, error) from error


def _damaged(archive: Path, reason: object) -> DamagedArchiveError:
    return DamagedArchiveError(
        f"{archive}: expected a whole zip or tar, found a damaged, truncated or encrypted one "
        f"({reason}); download it again"
    )


class _Unpacking:
    """What has been unpacked so far, held against the limits."""

    def __init__(self, archive: Path, target: Path, max_files: int, max_bytes: int) -> None:
        self._archive, self._target = archive, target
        self._max_files, self._max_bytes = max_files, max_bytes
        self._entries = self._bytes = 0
        self.files = 0

    def take(self, member: _Member, inside: PurePosixPath) -> None:
        """Unpack a member, if it lies in the folder `inside`."""
        name = _safe_name(self._archive, member.name)
        if is_leftover(name) or not name.is_relative_to(inside):
            return
        self._entries += 1
        if self._entries > self._max_files:
            raise ArchiveError(
                f"{self._archive}: expected at most {self._max_files:,} files (data.limits.files), "
                "found more; raise the limit if you trust the archive"
            )
        place = self._target / name.relative_to(inside)
        try:
            if member.is_folder:
                place.mkdir(parents=True, exist_ok=True)
            else:
                self._write(member, place)
        except (FileExistsError, NotADirectoryError) as error:
            raise ArchiveError(f"{self._archive}: the name {str(name)!r} is there twice") from error
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise ArchiveError(f"{self._archive}: the name {str(name)!r} is too long") from error

    def _write(self, member: _Member, place: Path) -> None:
        if not member.is_file:
            raise ArchiveError(
                f"{self._archive}: {member.name} is a link or device; only files are taken"
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        with _reading(self._archive):
            source = member.open()
        with source, place.open("xb") as sink:
            while block := self._read(source):
                self._bytes += len(block)
                if self._bytes > self._max_bytes:
                    raise ArchiveError(
                        f"{self._archive}: expected at most {self._max_bytes:,} bytes unpacked "
                        "(data.limits.bytes), found more; raise the limit if you trust the archive"
                    )
                sink.write(block)
        self.files += 1

    def _read(self, source: IO[bytes]) -> bytes:
        with _reading(self._archive):
            return source.read(min(_BLOCK, self._max_bytes - self._bytes + 1))


def _members(archive: Path) -> Iterator[_Member]:
    with _reading(archive):
        is_zip, is_tar = zipfile.is_zipfile(archive), _is_tar(archive)
    if is_zip:
        yield from _zip_members(archive)
    elif is_tar:
        yield from _tar_members(archive)
    else:
        with archive.open("rb") as file:
            start = file.read(8)
        raise DamagedArchiveError(
            f"{archive}: expected a whole zip or tar (plain, gz, bz2, xz), found a file that "
            f"begins with {start!r}; a truncated zip looks like this, too, as its index is at "
            "its end"
        )


def _zip_members(archive: Path) -> Iterator[_Member]:
    with _reading(archive):
        container = zipfile.ZipFile(archive)
    with container:
        infos = container.infolist()
        _check_count(archive, len(infos))
        for info in infos:
            with _reading(archive):
                is_folder = info.is_dir()
            is_file = not is_folder and stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)
            yield _Member(_zip_name(info), is_folder, is_file, partial(container.open, info))


def _tar_members(archive: Path) -> Iterator[_Member]:
    with _reading(archive):
        container = tarfile.open(archive)
    with container:
        while True:
            with _reading(archive):
                entry = container.next()
            if entry is None:
                break
            opener = partial(_open_entry, container, entry)
            yield _Member(entry.name, entry.isdir(), entry.isfile(), opener)
        with _reading(archive):
            _check_end(container)


def _check_count(archive: Path, found: int) -> None:
    """Compare the number of members that zipfile found with the number at the index's end."""
    with archive.open("rb") as file:
        file.seek(-min(archive.stat().st_size, _ZIP_END_AT_MOST), os.SEEK_END)
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    count = int.from_bytes(tail[end + 10 : end + 12], "little")
    if count not in (found, _ZIP64):
        raise _damaged(archive, f"its index should have {count} entries and has {found}")


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name of a zip's member. Some tools write UTF-8 and do not say so."""
    if not info.flag_bits & 0x800:
        try:
            return info.filename.encode("cp437").decode()
        except UnicodeError:
            pass
    return info.filename


def _check_end(container: tarfile.TarFile) -> None:
    """Read to the end: tarfile takes a damaged or missing header for it, and checks no checksum."""
    file: Any = container.fileobj
    file.seek(container.offset)
    if file.read(_TAR_BLOCK) != bytes(_TAR_BLOCK):
        raise tarfile.ReadError(f"it breaks off at byte {container.offset:,}")
    while file.read(_BLOCK):
        pass


def _open_entry(container: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    file = container.extractfile(entry)
    if file is None:
        raise ArchiveError(f"{container.name!r}: {entry.name} is not a regular file")
    return file


def _is_tar(archive: Path) -> bool:
    try:
        with tarfile.open(archive):
            return True
    except (tarfile.TarError, EOFError, zlib.error, LZMAError):
        return False


def _safe_name(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    drive = path.parts and path.parts[0].endswith(":")
    if path.is_absolute() or drive or ".." in path.parts:
        raise ArchiveError(
            f"{archive}: the name {name!r} leads out of the folder; do not trust this archive"
        )
    if flaw := flaw_of(name):
        raise ArchiveError(f"{archive}: the name {name!r} {flaw}; rename it")
    return path


def copy_folder(folder: Path, target: Path) -> list[str]:
    """Copy every file below `folder` to `target`; returns what cannot be taken, and why.

    A link to a file is followed, leftovers are passed over. What cannot be taken: dangling links,
    linked folders, devices, what may not be read, and names that are not UTF-8 or hold control
    characters.
    """
    refused = []
    for source in sorted(folder.rglob("*")):
        name = source.relative_to(folder)
        if is_leftover(PurePosixPath(name)):
            continue
        if reason := _refusal(source, str(name)):
            shown = source if reason in (_LINK, _CLOSED) else repr(str(source))
            refused.append(f"{shown}: {reason}")
        elif source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
        else:
            (target / name).mkdir(parents=True, exist_ok=True)
    return refused


_LINK = "a dangling link, a linked folder or a device"
_CLOSED = "it may not be read"


def _refusal(source: Path, name: str) -> str | None:
    """Why a file or folder cannot be taken, or None."""
    if flaw := flaw_of(name):
        return f"its name {flaw}"
    if source.is_file():
        return None if os.access(source, os.R_OK) else _CLOSED
    if source.is_symlink() or not source.is_dir():
        return _LINK
    return None if os.access(source, os.R_OK | os.X_OK) else _CLOSED
