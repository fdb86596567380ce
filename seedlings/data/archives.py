"""Archives: unpacks zip and tar files from untrusted sources."""

import errno
import gzip
import os
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
from seedlings.io.files import copy
from seedlings.io.path_filters import flaw_of, is_leftover

_BLOCK = 1 << 20
_TAR_BLOCK = 512
_ZIP_END_AT_MOST = 22 + 0xFFFF  # bytes: the end record of the zip directory, and a comment
_ZIP64 = 0xFFFF  # marks a number that is in the Zip64 record


class ArchiveError(SeedlingsError):
    """An archive that is unsafe, exceeds a limit, or does not contain the expected files."""


class DamagedArchiveError(ArchiveError):
    """A file that is a truncated, damaged or encrypted archive, or not an archive."""


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    is_folder: bool
    is_file: bool
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path, target: Path, *, folder: str | None, max_files: int, max_bytes: int
) -> int:
    """Unpack a zip or tar (plain, gz, bz2, xz) into the new folder `target`; return the file count.

    With `folder`, only the members below that folder of the archive are unpacked, without its name.
    Names, types and sizes are checked while the members are read; sizes that the archive declares
    are ignored. Files of operating systems and tools are skipped.

    Raises ArchiveError for an absolute name or a name with `..`, a link or device, more than
    `max_files` files and folders, or more than `max_bytes` bytes; DamagedArchiveError for a damaged
    archive.
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
    """Raise DamagedArchiveError for the errors of zipfile and tarfile for a damaged archive.

    The block contains only calls of these modules, so that other errors pass unchanged.
    """
    try:
        yield
    except _DAMAGE as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # an error of the disk
            raise
        raise _damaged(archive, error) from error


def _damaged(archive: Path, reason: object) -> DamagedArchiveError:
    return DamagedArchiveError(
        f"{archive}: expected a whole zip or tar, found a damaged, truncated or encrypted one "
        f"({reason}); download it again"
    )


class _Unpacking:
    """Unpacks members, and checks their number and size against the limits."""

    def __init__(self, archive: Path, target: Path, max_files: int, max_bytes: int) -> None:
        self._archive, self._target = archive, target
        self._max_files, self._max_bytes = max_files, max_bytes
        self._entries = self._bytes = 0
        self.files = 0

    def take(self, member: _Member, inside: PurePosixPath) -> None:
        """Unpack a member if it is in the folder `inside`."""
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
                f"{self._archive}: {member.name} is a link or device; expected only files"
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
            f"begins with {start!r}; it may be a truncated zip, whose directory is at its end"
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
        container = tarfile.open(archive)  # noqa: SIM115 - closed below
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
    """Compare the number of members that zipfile found with the number in the end record."""
    with archive.open("rb") as file:
        file.seek(-min(archive.stat().st_size, _ZIP_END_AT_MOST), os.SEEK_END)
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    count = int.from_bytes(tail[end + 10 : end + 12], "little")
    if count not in (found, _ZIP64):
        raise _damaged(archive, f"its directory should have {count} entries, but has {found}")


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return the name of a zip member, also if it is UTF-8 without the UTF-8 flag."""
    if not info.flag_bits & 0x800:
        try:
            return info.filename.encode("cp437").decode()
        except UnicodeError:
            pass
    return info.filename


def _check_end(container: tarfile.TarFile) -> None:
    """Check the end of a tar: tarfile ends silently at a damaged header, and checks no checksum."""
    file: Any = container.fileobj
    file.seek(container.offset)
    if file.read(_TAR_BLOCK) != bytes(_TAR_BLOCK):
        raise tarfile.ReadError(f"it is cut off at byte {container.offset:,}")
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
    """Copy all files below `folder` to `target`; return the paths that cannot be copied, and why.

    Links to files are followed; files of operating systems and tools are skipped. Not copied are
    dangling links, linked folders, devices, files without read permission, and names that are not
    UTF-8 or contain control characters.
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
            copy(source, target / name)
        else:
            (target / name).mkdir(parents=True, exist_ok=True)
    return refused


_LINK = "a dangling link, a linked folder or a device"
_CLOSED = "it may not be read"


def _refusal(source: Path, name: str) -> str | None:
    """Return why a file or folder cannot be copied, or None."""
    if flaw := flaw_of(name):
        return f"its name {flaw}"
    if source.is_file():
        return None if os.access(source, os.R_OK) else _CLOSED
    if source.is_symlink() or not source.is_dir():
        return _LINK
    return None if os.access(source, os.R_OK | os.X_OK) else _CLOSED
