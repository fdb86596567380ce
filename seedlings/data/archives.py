"""Archives: unpacks zip and tar files from untrusted sources."""

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
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

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


class _Member(NamedTuple):
    name: str
    size: int  # as declared; zipfile and tarfile read no more bytes, whatever is there
    is_folder: bool
    is_file: bool
    open: Callable[[], IO[bytes] | None]


def unpack(
    archive: Path, target: Path, *, folder: str | None, max_files: int, max_bytes: int
) -> int:
    """Unpack a zip or tar (plain, gz, bz2, xz) into the new folder `target`; return the file count.

    With `folder`, only the members below that folder of the archive are unpacked, without its name.
    Names, types and sizes are checked before a member is written. Files of operating systems and
    tools are skipped.

    Raises ArchiveError for an absolute name or a name with `..`, a link or device, more than
    `max_files` files and folders, or more than `max_bytes` bytes; DamagedArchiveError for a damaged
    archive.
    """
    target.mkdir(parents=True)
    inside = PurePosixPath(folder or "")
    entries = files = size = 0
    with _reading(archive):
        for member in _members(archive):
            name = _safe_name(archive, member.name)
            if is_leftover(name) or not name.is_relative_to(inside):
                continue
            entries, files, size = entries + 1, files + member.is_file, size + member.size
            if entries > max_files:
                raise _too_large(archive, f"{max_files:,} files (data.limits.files)")
            if size > max_bytes:
                raise _too_large(archive, f"{max_bytes:,} bytes unpacked (data.limits.bytes)")
            _write(archive, member, target / name.relative_to(inside))
    if not files:
        where = f" in its folder {folder!r} (data.folder)" if folder else ""
        raise ArchiveError(f"{archive}: expected files{where}, found none")
    return files


def _too_large(archive: Path, limit: str) -> ArchiveError:
    return ArchiveError(
        f"{archive}: expected at most {limit}, found more; raise the limit if you trust the archive"
    )


def _write(archive: Path, member: _Member, place: Path) -> None:
    """Write a member to a place where nothing is yet."""
    if not (member.is_file or member.is_folder):
        raise ArchiveError(f"{archive}: {member.name} is a link or device; expected only files")
    try:
        folder = place if member.is_folder else place.parent
        folder.mkdir(parents=True, exist_ok=True)
        if member.is_file and (source := member.open()):
            with source, place.open("xb") as sink:
                shutil.copyfileobj(source, sink, _BLOCK)
    except (FileExistsError, NotADirectoryError) as error:
        raise ArchiveError(f"{archive}: the name {member.name!r} is there twice") from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise ArchiveError(f"{archive}: the name {member.name!r} is too long") from error


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Raise DamagedArchiveError for the errors of zipfile and tarfile for a damaged archive."""
    try:
        yield
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # an error of the disk
            raise
        raise _damaged(archive, error) from error
    except _DAMAGE as error:
        raise _damaged(archive, error) from error


_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, LZMAError, EOFError),
    *(NotImplementedError, RuntimeError, IndexError, OverflowError, ValueError, struct.error),
)


def _damaged(archive: Path, reason: object) -> DamagedArchiveError:
    return DamagedArchiveError(
        f"{archive}: expected a whole zip or tar, found a damaged, truncated or encrypted one "
        f"({reason}); download it again"
    )


def _members(archive: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
    elif tarfile.is_tarfile(archive):
        yield from _tar_members(archive)
    else:
        with archive.open("rb") as file:
            start = file.read(8)
        raise DamagedArchiveError(
            f"{archive}: expected a whole zip or tar (plain, gz, bz2, xz), found a file that "
            f"begins with {start!r}; it may be a truncated zip, whose directory is at its end"
        )


def _zip_members(archive: Path) -> Iterator[_Member]:
    with _open_zip(archive) as container:
        _check_count(archive, len(container.infolist()))
        for info in container.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_file = not info.is_dir() and kind in (0, stat.S_IFREG)
            opener = partial(container.open, info)
            yield _Member(info.filename, info.file_size, info.is_dir(), is_file, opener)


def _open_zip(archive: Path) -> zipfile.ZipFile:
    """Return a zip whose names are UTF-8, also without the flag that says so, or in DOS' code."""
    try:
        return zipfile.ZipFile(archive, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return zipfile.ZipFile(archive)


def _check_count(archive: Path, found: int) -> None:
    """Compare the number of members that zipfile found with the number in the end record."""
    with archive.open("rb") as file:
        file.seek(-min(archive.stat().st_size, _ZIP_END_AT_MOST), os.SEEK_END)
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    count = int.from_bytes(tail[end + 10 : end + 12], "little")
    if count not in (found, _ZIP64):
        raise zipfile.BadZipFile(f"its directory should have {count} entries, but has {found}")


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as container:
        for entry in container:
            opener = partial(container.extractfile, entry)
            yield _Member(entry.name, entry.size, entry.isdir(), entry.isfile(), opener)
        _check_end(container)


def _check_end(container: tarfile.TarFile) -> None:
    """Check the end of a tar: tarfile ends silently at a damaged header, and checks no checksum."""
    file: Any = container.fileobj
    file.seek(container.offset)
    if file.read(_TAR_BLOCK) != bytes(_TAR_BLOCK):
        raise tarfile.ReadError(f"it is cut off at byte {container.offset:,}")
    while file.read(_BLOCK):
        pass


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
