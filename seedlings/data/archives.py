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
from contextlib import contextmanager, suppress
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from seedlings.data import names
from seedlings.errors import SeedlingsError
from seedlings.io.files import copy
from seedlings.io.path_filters import flaw_of, is_leftover

_BLOCK = 1 << 20
_TAR_BLOCK = 512
_ZIP_END_AT_MOST = 22 + 0xFFFF  # bytes: the end record of the zip directory, and a comment
_ZIP64 = 0xFFFF  # marks a number that is in the Zip64 record
_ENCRYPTED, _UTF8 = 0x1, 0x800  # flags of a member of a zip
_UNICODE_PATH = 0x7075
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_OTHER_METHODS = {6: "Implode", 9: "Deflate64", 93: "Zstandard", 95: "xz", 98: "PPMd"}
_ENCODINGS = {
    "gbk": "Chinese",
    "cp932": "Japanese",
    "cp850": "Western Europe",
    "cp1252": "Western Europe",
    "cp866": "Cyrillic",
}
# The first bytes of files that people take for a zip or tar.
_FOREIGN = {
    b"Rar!\x1a\x07": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x28\xb5\x2f\xfd": "a file compressed with Zstandard",
    b"\x04\x22\x4d\x18": "a file compressed with LZ4",
    b"\x1f\x9d": "a file compressed with compress (.Z)",
    b"LZIP": "a file compressed with lzip",
    b"MSCF": "a cabinet file (.cab)",
    b"PK\x07\x08": "the first part of a zip in several parts",
}


class ArchiveError(SeedlingsError):
    """An archive that is unsafe, exceeds a limit, or does not contain the expected files."""


class DamagedArchiveError(ArchiveError):
    """A file that is a truncated or damaged archive, or not an archive."""


class _Member(NamedTuple):
    name: str
    size: int  # as declared; zipfile and tarfile read no more bytes, whatever is there
    is_folder: bool
    is_file: bool
    open: Callable[[], IO[bytes] | None]


def unpack(
    archive: Path,
    target: Path,
    *,
    folder: str | None,
    max_files: int,
    max_bytes: int,
    encoding: str | None = None,
) -> int:
    """Unpack a zip or tar (plain, gz, bz2, xz) into the new folder `target`; return the file count.

    With `folder`, only the members below that folder of the archive are unpacked, without its name.
    Names, types and sizes are checked before a member is written. Files of operating systems and
    tools are skipped. Names that the archive does not mark as UTF-8 are in `encoding`, by default
    UTF-8.

    Raises ArchiveError for an absolute name or a name with `..`, a name in another encoding, a link
    or device, more than `max_files` files and folders, more than `max_bytes` bytes, or a file of
    another kind, compression or with a password; DamagedArchiveError for a damaged archive.
    """
    target.mkdir(parents=True)
    inside = PurePosixPath(names.normal(folder or ""))
    entries = files = size = 0
    with _reading(archive):
        for member in _members(archive, encoding):
            name = _safe_name(archive, member.name)
            if is_leftover(name) or not _normal(name).is_relative_to(inside):
                continue
            entries, files, size = entries + 1, files + member.is_file, size + member.size
            if entries > max_files:
                raise _too_large(archive, f"{max_files:,} files (data.limits.files)")
            if size > max_bytes:
                raise _too_large(archive, f"{max_bytes:,} bytes unpacked (data.limits.bytes)")
            _write(archive, member, target.joinpath(*name.parts[len(inside.parts) :]))
    if not files:
        where = f" in its folder {folder!r} (data.folder)" if folder else ""
        raise ArchiveError(f"{archive}: expected files{where}, found none")
    return files


def _normal(name: PurePosixPath) -> PurePosixPath:
    return PurePosixPath(names.normal(str(name)))


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
        raise ArchiveError(
            f"{archive}: the name {member.name!r} is too long (a file system has names of at most "
            "255 bytes, and paths of 4,096); pack it again with shorter names"
        ) from error


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
        f"{archive}: expected a whole zip or tar, found a damaged or truncated one ({reason}); "
        "download it again"
    )


def _foreign(archive: Path, found: str) -> ArchiveError:
    return ArchiveError(
        f"{archive}: expected a zip or tar (plain, gz, bz2, xz), found {found}; unpack it yourself "
        "and use the folder (data.source `folder`), or a new zip"
    )


def _members(archive: Path, encoding: str | None) -> Iterator[_Member]:
    with archive.open("rb") as file:
        start = file.read(8)
    for magic, kind in _FOREIGN.items():
        if start.startswith(magic):
            raise _foreign(archive, kind)
    if zipfile.is_zipfile(archive):
        yield from _zip_members(archive, encoding)
    elif tarfile.is_tarfile(archive):
        yield from _tar_members(archive, encoding)
    else:
        raise DamagedArchiveError(
            f"{archive}: expected a whole zip or tar (plain, gz, bz2, xz), found a file that "
            f"begins with {start!r}; it may be a truncated zip, whose directory is at its end"
        )


def _zip_members(archive: Path, encoding: str | None) -> Iterator[_Member]:
    end = _end_record(archive)
    if _number(end, 4) not in (0, _ZIP64):
        raise _foreign(archive, "the last part of a zip in several parts")
    codec, opened = _open_zip(archive)
    with opened as container:
        _check_count(end, len(container.infolist()))
        for info in container.infolist():
            _check_readable(archive, info)
            name = _zip_name(archive, info, codec, encoding)
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_folder = name.endswith(("/", "\\"))  # some writers on Windows use backslashes
            is_file = not is_folder and kind in (0, stat.S_IFREG)
            yield _Member(name, info.file_size, is_folder, is_file, partial(container.open, info))


def _open_zip(archive: Path) -> tuple[str, zipfile.ZipFile]:
    """Return a codec that reads all names of a zip, UTF-8 or else Latin-1, and the zip."""
    try:
        return "utf-8", zipfile.ZipFile(archive, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return "latin-1", zipfile.ZipFile(archive, metadata_encoding="latin-1")


def _end_record(archive: Path) -> bytes:
    """Return the record at the end of a zip, from its signature on."""
    with archive.open("rb") as file:
        file.seek(-min(archive.stat().st_size, _ZIP_END_AT_MOST), os.SEEK_END)
        tail = file.read()
    return tail[tail.rfind(b"PK\x05\x06") :]


def _number(record: bytes, place: int) -> int:
    return int.from_bytes(record[place : place + 2], "little")


def _check_count(end: bytes, found: int) -> None:
    """Compare the number of members that zipfile found with the 16 bits of the end record."""
    count = _number(end, 10)
    if count not in (found & _ZIP64, _ZIP64):
        raise zipfile.BadZipFile(f"its directory should have {count} entries, but has {found}")


def _check_readable(archive: Path, info: zipfile.ZipInfo) -> None:
    method = info.compress_type
    if info.flag_bits & _ENCRYPTED:
        raise _foreign(archive, "a zip with a password")
    if method not in _METHODS:
        name = _OTHER_METHODS.get(method, "an unknown method")
        raise _foreign(archive, f"a zip compressed with {name} (method {method})")


def _zip_name(archive: Path, info: zipfile.ZipInfo, codec: str, encoding: str | None) -> str:
    """Return the name of a member, which `codec` reads. Raises ArchiveError as `_decoded` does."""
    if not info.filename:
        raise zipfile.BadZipFile("a member has no name")
    if info.flag_bits & _UTF8 or info.filename.isascii():
        return info.filename
    data = info.orig_filename.encode(codec).split(b"\0")[0]
    return _unicode_path(info.extra, data) or _decoded(archive, data, encoding)


def _unicode_path(extra: bytes, name: bytes) -> str | None:
    """Return the name in UTF-8 that WinZip and WinRAR write beside the one in a code page.

    It is the extra field 0x7075 (APPNOTE 6.3.10, section 4.6.9); Python 3.12 also reads it.
    """
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and field[1:5] == zlib.crc32(name).to_bytes(4, "little"):
            return field[5:].decode()
    return None


def _decoded(archive: Path, name: bytes, encoding: str | None) -> str:
    """Return the name of a member from its bytes. Raises ArchiveError for another encoding."""
    try:
        return name.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        readings = ", ".join(_readings(name))
        raise ArchiveError(
            f"{archive}: expected names in {encoding or 'UTF-8'}, found {name!r}; set "
            f"data.encoding to the encoding of the computer that packed it: {readings}"
        ) from error


def _readings(name: bytes) -> Iterator[str]:
    for encoding, place in _ENCODINGS.items():
        with suppress(UnicodeDecodeError):
            text = name.decode(encoding)
            if text.isprintable():
                yield f"{encoding} ({place}) reads {text!r}"


def _tar_members(archive: Path, encoding: str | None) -> Iterator[_Member]:
    with tarfile.open(archive, encoding=encoding or "utf-8") as container:
        for entry in container:
            name = _tar_name(archive, entry.name, encoding)
            opener = partial(container.extractfile, entry)
            yield _Member(name, entry.size, entry.isdir(), entry.isfile(), opener)
        _check_end(container)


def _tar_name(archive: Path, name: str, encoding: str | None) -> str:
    """Return the name of a member. Raises ArchiveError if its encoding is not known."""
    try:
        name.encode()
    except UnicodeEncodeError:  # tarfile keeps the bytes that it cannot decode as surrogates
        return _decoded(archive, name.encode(encoding or "utf-8", "surrogateescape"), encoding)
    return name


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
