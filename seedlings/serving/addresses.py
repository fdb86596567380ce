"""Addresses of files and folders: local paths, and those of fsspec, such as `s3://bucket/images`."""

import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import fsspec

from seedlings.errors import SeedlingsError
from seedlings.io.files import replacing
from seedlings.io.path_filters import is_leftover

_PROTOCOL = re.compile(r"([a-z][a-z0-9+.-]*)://")
# What the file systems of fsspec call the version of a file.
_VERSION = ("size", "ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "md5Hash")
# A put to object storage is atomic; on other storage a file is renamed when it is complete.
_OBJECT_STORAGE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "r2"}


def normalized(address: str | Path) -> str:
    """Return a local path as pathlib writes it, or a remote address without a slash at its end.

    The path of an address `file://` is decoded: `%20` is a space there, and nowhere else.
    """
    text = str(address)
    if text.startswith("file://"):
        text = unquote(text.removeprefix("file://"), errors="surrogateescape")
    return text.rstrip("/") if is_remote(text) else str(Path(text))


def is_remote(address: str) -> bool:
    """Return whether an address names storage that other machines reach: it has a protocol."""
    return _PROTOCOL.match(address) is not None


def contains(folder: str, address: str) -> bool:
    """Return whether an address is a folder itself, or below it."""
    outer, inner = (
        PurePosixPath(a if is_remote(a) else os.path.realpath(a)) for a in (folder, address)
    )
    return inner.is_relative_to(outer)


def check(addresses: Iterable[str]) -> None:
    """Raise SeedlingsError if there is nothing at one of the addresses."""
    for address in addresses:
        _entry(address)


def distinct(addresses: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the files of `stamped` at all addresses, each file once, at its first address."""
    before: list[PurePosixPath] = []
    for address in addresses:
        own = _place(address)
        if any(_lists(folder, own) for folder in before):
            continue
        yielded = {place for place in before if not own.is_relative_to(place)}
        for file, stamp in stamped(address):
            place = _place(file) if yielded else own
            if yielded.isdisjoint((place, *place.parents)):
                yield file, stamp
        before.append(own)


def stamped(address: str) -> Iterator[tuple[str, str]]:
    """Yield a file, or all files below a folder, sorted by the parts of their path, with stamps.

    A stamp changes if the content of the file does: it has the size and the time of change or what
    else a storage tells, such as an ETag.

    Files of systems and tools are left out. A folder that is a link, or that may not be read, is
    yielded as if it were a file, so that its reading fails with the reason. Raises SeedlingsError
    if there is nothing at the address.
    """
    system, path, entry = _entry(address)
    try:
        if entry["type"] == "directory":
            yield from _below(system, path, "" if address == "." else f"{address.rstrip('/')}/")
        else:
            yield address, _version(system, entry)
    except SeedlingsError:
        raise
    except Exception as error:  # each storage has its own errors
        raise SeedlingsError(f"cannot read {address}: {_described(error)}") from error


def read(addresses: Sequence[str]) -> list[bytes | OSError]:
    """Return the contents of each file, or the error of a file that cannot be read.

    Remote files are read at the same time. Raises SeedlingsError if remote storage fails, or
    refuses several files at once, as with expired credentials: no file is to blame then.
    """
    found: dict[str, bytes | OSError] = {}
    for root in dict.fromkeys(map(_root, addresses)):
        own = [address for address in addresses if _root(address) == root]
        paths = [opened(address)[1] for address in own]
        contents = _system(root).cat_ranges(paths, None, None, on_error="return")
        if root:
            _check_storage(own, contents)
        found |= zip(own, contents, strict=True)
    return [found[address] for address in addresses]


def write(address: str, data: bytes) -> None:
    """Write a file, atomically; several processes may write the same one at the same time."""
    protocol = _PROTOCOL.match(address)
    if protocol is None:
        with replacing(Path(address), shared=True) as local:
            local.write_bytes(data)
        return
    system, path = opened(address)
    if protocol[1] in _OBJECT_STORAGE:
        system.pipe_file(path, data)
        return
    folder, _, name = path.rpartition("/")
    scratch = f"{folder}/.{name}.{secrets.token_hex(4)}.partial"
    system.makedirs(folder, exist_ok=True)
    system.pipe_file(scratch, data)
    system.mv(scratch, path)


def names(address: str) -> list[str]:
    """Return the names in a folder, sorted; an empty list if there is no folder."""
    system, path = opened(address)
    try:
        listed = system.ls(path, detail=False)
    except FileNotFoundError:
        return []
    if listed == [path]:
        raise SeedlingsError(f"expected a folder at {address}, found a file")
    return sorted(PurePosixPath(name).name for name in listed if name.strip("/") != path)


def exists(address: str) -> bool:
    """Return whether there is a file at an address."""
    system, path = opened(address)
    return bool(system.exists(path))


def remove(address: str) -> None:
    """Remove a file, if it exists."""
    system, path = opened(address)
    if system.exists(path):
        system.rm_file(path)


def opened(address: str) -> tuple[Any, str]:
    """Return the file system of fsspec for an address, and the path there."""
    root = _root(address)
    system = _system(root)
    return system, system._strip_protocol(address if root else os.path.abspath(address))  # noqa: PTH100 - a path of bytes


def _entry(address: str) -> tuple[Any, str, dict[str, Any]]:
    """Return the file system of an address, the path there, and what the system tells of it."""
    system, path = opened(address)
    try:
        return system, path, system.info(path)
    except FileNotFoundError as error:
        raise SeedlingsError(f"expected a file or a folder at {address}, found nothing") from error
    except Exception as error:  # each storage has its own errors
        raise SeedlingsError(f"cannot read {address}: {_described(error)}") from error


def _place(address: str) -> PurePosixPath:
    """Return a path that is the same for all names of an address, such as `a` and `../here/a`."""
    return PurePosixPath(address if is_remote(address) else os.path.abspath(address))  # noqa: PTH100 - the text of an address


def _lists(folder: PurePosixPath, place: PurePosixPath) -> bool:
    """Return whether `stamped` of a folder, or of a file itself, includes what is at a place."""
    if not place.is_relative_to(folder):
        return False
    below = place.relative_to(folder)
    parts = [folder / part for part in (below, *below.parents)][:-1]
    linked = any(os.path.islink(part) and os.path.isdir(part) for part in parts)  # noqa: PTH112, PTH114 - as above
    return not linked and not is_leftover(below)


def _below(system: Any, path: str, prefix: str) -> Iterator[tuple[str, str]]:
    try:
        entries = system.ls(path, detail=True)
    except PermissionError:
        if is_remote(prefix):
            raise
        yield prefix.rstrip("/") or ".", ""
        return
    listed = sorted(
        (PurePosixPath(entry["name"]).name, entry["type"] == "directory", _version(system, entry))
        for entry in entries
        if entry["name"].rstrip("/") != path.rstrip("/")  # the key that marks an empty folder
    )
    del entries  # which need more memory
    for name, is_folder, version in listed:
        if is_leftover(PurePosixPath(name)):
            continue
        if is_folder:
            yield from _below(system, f"{path.rstrip('/')}/{name}", f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", version


def _version(system: Any, entry: Mapping[str, Any]) -> str:
    """Return what a storage tells of the version of a file, as text."""
    if entry.get("islink"):
        with suppress(OSError):  # of a dangling link
            entry = system.info(entry["name"])  # the time of the file and not of the link
    return " ".join(str(entry[key]) for key in _VERSION if entry.get(key) is not None)


def _check_storage(addresses: Sequence[str], found: Sequence[bytes | Exception]) -> None:
    """Raise SeedlingsError for errors of a storage, for which no file is to blame."""
    refused = [entry for entry in found if isinstance(entry, PermissionError)]
    for address, entry in zip(addresses, found, strict=True):
        missing = isinstance(entry, FileNotFoundError)
        denied = isinstance(entry, PermissionError) and len(refused) < max(2, len(found))
        if isinstance(entry, Exception) and not (missing or denied):
            raise SeedlingsError(
                f"cannot read {address}: {_described(entry)}; results are kept, so run the "
                "command again when the storage answers"
            ) from entry


def _root(address: str) -> str:
    """Return the protocol and the host or bucket of a remote address; "" for a local path."""
    if not is_remote(address):
        return ""
    protocol, _, rest = address.partition("://")
    return f"{protocol}://{rest.partition('/')[0]}"


@cache
def _system(root: str) -> Any:
    # A kept listing would grow with the files, and would be out of date when others write.
    try:
        return fsspec.url_to_fs(f"{root}/", use_listings_cache=False)[0]
    except (ImportError, ValueError) as error:
        raise SeedlingsError(f"cannot open {root}: {_described(error)}") from error


def _described(error: Exception) -> str:
    return str(error) or type(error).__name__
