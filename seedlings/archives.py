"""Archives: zip and tar, unpacked without trust."""

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from seedlings.errors import SeedlingsError

# What operating systems (and git) leave behind in folders and archives.
_LEFTOVERS = {".DS_Store", "__MACOSX", "Thumbs.db", "desktop.ini", ".gitignore", ".gitkeep"}
_BLOCK = 1 << 20


class ArchiveError(SeedlingsError):
    """An archive that is damaged, hostile, larger than allowed, or no archive at all."""


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    is_folder: bool
    is_file: bool
    open: Callable[[], IO[bytes]]


def is_leftover(path: PurePosixPath) -> bool:
    """Whether a system left this behind, such as .DS_Store, __MACOSX, Thumbs.db or ._name."""
    return any(part in _LEFTOVERS or part.startswith("._") for part in path.parts)


def unpack(
    archive: Path, target: Path, *, folder: str | None, max_files: int, max_bytes: int
) -> int:
    """Unpack a zip or tar (plain, gz, bz2, xz) into the folder `target`; returns the files made.

    With `folder`, only what lies in that folder of the archive is unpacked, without its name.
    Names, kinds and sizes are checked as the members are read: sizes that an archive declares are
    not believed. What systems leave behind is passed over.

    Raises ArchiveError for an absolute name or one with `..`, a link or device, more than
    `max_files` files or `max_bytes` bytes, and for what is damaged or no archive.
    """
    inside = PurePosixPath(folder) if folder else PurePosixPath()
    target.mkdir(parents=True)
    files = size = 0
    try:
        for member in _members(archive):
            name = _safe_name(archive, member.name)
            if is_leftover(name) or not name.is_relative_to(inside):
                continue
            place = target / name.relative_to(inside)
            if member.is_folder:
                place.mkdir(parents=True, exist_ok=True)
                continue
            if not member.is_file:
                raise ArchiveError(f"{archive}: {name} is a link or device; only files are taken")
            files += 1
            if files > max_files:
                raise ArchiveError(
                    f"{archive}: expected at most {max_files:,} files (data.limits.files), "
                    "found more; raise the limit if you trust the archive"
                )
            size += _copy(archive, member, place, max_bytes - size, max_bytes)
    except (
        *(zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError),
        *(NotImplementedError, RuntimeError, UnicodeError),
    ) as error:
        raise ArchiveError(
            f"{archive}: expected a whole zip or tar, found a damaged, truncated or encrypted one "
            f"({error}); fetch it again"
        ) from error
    if not files:
        where = f" in its folder {folder!r} (data.folder)" if folder else ""
        raise ArchiveError(f"{archive}: expected files{where}, found none")
    return files


def _members(archive: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as container:
            for info in container.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                is_file = not info.is_dir() and kind in (0, stat.S_IFREG)
                opener = partial(container.open, info)
                yield _Member(info.filename, info.is_dir(), is_file, opener)
    elif _is_tar(archive):
        with tarfile.open(archive) as container:
            for entry in container:
                opener = partial(_open_entry, container, entry)
                yield _Member(entry.name, entry.isdir(), entry.isfile(), opener)
    else:
        with archive.open("rb") as file:
            start = file.read(8)
        raise ArchiveError(
            f"{archive}: expected a whole zip or tar (plain, gz, bz2, xz), found a file that "
            f"begins with {start!r}; a truncated zip looks like this, too, as its index is at "
            "its end"
        )


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
    if path.is_absolute() or drive or ".." in path.parts or "\0" in name:
        raise ArchiveError(
            f"{archive}: the name {name!r} leads out of the folder; do not trust this archive"
        )
    return path


def _copy(archive: Path, member: _Member, place: Path, left: int, allowed: int) -> int:
    if place.exists():
        raise ArchiveError(f"{archive}: the name {member.name!r} is there twice")
    place.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with member.open() as source, place.open("wb") as sink:
        while block := source.read(min(_BLOCK, left - written + 1)):
            written += len(block)
            if written > left:
                raise ArchiveError(
                    f"{archive}: expected at most {allowed:,} bytes unpacked (data.limits.bytes), "
                    "found more; raise the limit if you trust the archive"
                )
            sink.write(block)
    return written


def copy_folder(folder: Path, target: Path) -> int:
    """Copy every file below `folder` to `target`; returns how many. Leftovers are passed over.

    A link to a file is followed. Raises SeedlingsError that lists what is neither a file nor a
    folder: dangling links, linked folders, devices.
    """
    refused, files = [], 0
    for source in sorted(folder.rglob("*")):
        name = source.relative_to(folder)
        if is_leftover(PurePosixPath(name)):
            continue
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
            files += 1
        elif source.is_dir() and not source.is_symlink():
            (target / name).mkdir(parents=True, exist_ok=True)
        else:
            refused.append(str(source))
    if refused:
        raise SeedlingsError(
            "expected files and folders, found dangling links, linked folders or devices:\n  "
            + "\n  ".join(refused)
        )
    return files
