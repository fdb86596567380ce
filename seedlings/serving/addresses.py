"""Addresses of files and folders: local paths, and those of fsspec, such as `s3://bucket/images`."""

import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from seedlings.errors import SeedlingsError
from seedlings.io.files import replacing
from seedlings.io.path_filters import is_leftover

_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://")
# A put to object storage is atomic; on other storage a file is renamed when it is complete.
# What the file systems of fsspec call it.
_VERSION = ("size", "ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "md5Hash")
_OBJECT_STORAGE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "r2"}


def normalized(address: str | Path) -> str:
    """Return a local path as pathlib writes it, or a remote address without a slash at its end."""
    text = str(address).removeprefix("file://")
    return text.rstrip("/") if is_remote(text) else str(Path(text))


def is_remote(address: str) -> bool:
    """Return whether an address names storage that other machines reach: it has a protocol."""
    return _REMOTE.match(address) is not None


def contains(folder: str, address: str) -> bool:
    """Return whether an address is a folder itself, or below it."""
    outer, inner = (
        PurePosixPath(a if is_remote(a) else os.path.realpath(a)) for a in (folder, address)
    )
    return inner.is_relative_to(outer)


def files(address: str) -> Iterator[str]:
    """Yield the addresses of `stamped`."""
    return (file for file, _ in stamped(address))


def stamped(address: str) -> Iterator[tuple[str, str]]:
    """Yield a file, or all files below a folder, sorted by the parts of their path, with stamps.

    A stamp changes if the content of the file does: it has the size and the time of change or what
    else a storage tells, such as an ETag.

    Files of systems and tools are left out. A folder that is a link, or that may not be read, is
    yielded as if it were a file, so that its reading fails with the reason. Raises SeedlingsError
    if there is nothing at the address.
    """
    if is_remote(address):
        yield from _remote_files(address)
    elif os.path.isdir(address):  # noqa: PTH112 - Path.is_dir raises PermissionError here
        yield from _local_files(address)
    elif os.path.lexists(address):
        yield address, _stamp(address)
    else:
        raise SeedlingsError(f"expected a file or a folder at {address}, found nothing")


def read(addresses: Sequence[str]) -> list[bytes | OSError]:
    """Return the contents of each file, or the error of a file that cannot be read.

    Remote files are read at the same time. Raises SeedlingsError if remote storage fails, or
    refuses several files at once, as with expired credentials: no file is to blame then.
    """
    found: dict[str, bytes | OSError] = {}
    remote = [address for address in addresses if is_remote(address)]
    for root in dict.fromkeys(map(_root, remote)):
        found |= _fetched([address for address in remote if _root(address) == root])
    return [found[a] if a in found else _read_local(a) for a in addresses]


def write(address: str, data: bytes) -> None:
    """Write a file, atomically; several processes may write the same one at the same time."""
    if not is_remote(address):
        with replacing(Path(address), shared=True) as scratch:
            scratch.write_bytes(data)
        return
    system, path = opened(address)
    if _REMOTE.match(address)[0][:-3] in _OBJECT_STORAGE:  # type: ignore[index]
        system.pipe_file(path, data)
        return
    folder, _, name = path.rpartition("/")
    scratch_path = f"{folder}/.{name}.{secrets.token_hex(4)}.partial"
    system.makedirs(folder, exist_ok=True)
    system.pipe_file(scratch_path, data)
    system.mv(scratch_path, path)


def names(address: str) -> list[str]:
    """Return the names in a folder, sorted; an empty list if there is no folder."""
    try:
        if is_remote(address):
            system, path = opened(address)
            listed = system.ls(path, detail=False)
            return sorted(PurePosixPath(name).name for name in listed if name.strip("/") != path)
        return sorted(path.name for path in Path(address).iterdir())
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise SeedlingsError(f"expected a folder at {address}, found a file") from error


def exists(address: str) -> bool:
    """Return whether there is a file at an address."""
    if is_remote(address):
        system, path = opened(address)
        return bool(system.exists(path))
    return Path(address).is_file()


def remove(address: str) -> None:
    """Remove a file, if it exists."""
    if not is_remote(address):
        Path(address).unlink(missing_ok=True)
    elif exists(address):
        system, path = opened(address)
        system.rm_file(path)


def opened(address: str) -> tuple[Any, str]:
    """Return the file system of fsspec for an address, and the path there."""
    if not is_remote(address):
        return fsspec.filesystem("file"), str(Path(address).absolute())
    system = _system(_root(address))
    return system, system._strip_protocol(address)


def _stamp(path: str) -> str:
    """Return size and time of change of a local file, or an empty text for a dangling link."""
    try:
        status = os.stat(path)  # noqa: PTH116 - speed
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _local_files(folder: str) -> Iterator[tuple[str, str]]:
    if not os.access(folder, os.R_OK | os.X_OK):
        yield folder, ""
    try:
        with os.scandir(folder) as entries:
            # Names with one flag, as objects of a million files would need gigabytes.
            listed = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except PermissionError:
        return
    for name, is_folder in listed:
        path = os.path.join(folder, name) if folder != "." else name  # noqa: PTH118 - speed
        if is_leftover(PurePosixPath(name)):
            continue
        if is_folder:
            yield from _local_files(path)
        else:
            yield path, _stamp(path)


def _remote_files(address: str) -> Iterator[tuple[str, str]]:
    try:
        system, path = opened(address)
        entry = system.info(path)
        if entry["type"] == "directory":
            yield from _below(system, path, address)
        else:
            yield address, _told(entry)
    except FileNotFoundError as error:
        raise SeedlingsError(f"expected a file or a folder at {address}, found nothing") from error
    except SeedlingsError:
        raise
    except Exception as error:  # each storage has its own errors
        raise SeedlingsError(f"cannot read {address}: {_described(error)}") from error


def _told(entry: Mapping[str, Any]) -> str:
    """Return what a storage tells of the version of a file, as text."""
    return " ".join(str(entry[key]) for key in _VERSION if entry.get(key) is not None)


def _below(system: Any, path: str, address: str) -> Iterator[tuple[str, str]]:
    listed = sorted(
        (PurePosixPath(entry["name"]).name, entry["type"] == "directory", _told(entry))
        for entry in system.ls(path, detail=True)
        if entry["name"].rstrip("/") != path.rstrip("/")  # the key that marks an empty folder
    )
    for name, is_folder, stamp in listed:
        if is_leftover(PurePosixPath(name)):
            continue
        if is_folder:
            yield from _below(system, f"{path.rstrip('/')}/{name}", f"{address}/{name}")
        else:
            yield f"{address}/{name}", stamp


def _read_local(path: str) -> bytes | OSError:
    try:
        return Path(path).read_bytes()
    except PermissionError as error:
        folder = os.path.isdir(path)  # noqa: PTH112 - Path.is_dir may raise PermissionError
        return IsADirectoryError(*error.args) if folder else error
    except OSError as error:
        return error


def _fetched(addresses: Sequence[str]) -> dict[str, bytes | OSError]:
    """Return the contents or the error of each file of one storage."""
    system = _system(_root(addresses[0]))
    paths = [system._strip_protocol(address) for address in addresses]
    found = system.cat_ranges(paths, None, None, on_error="return")
    refused = [entry for entry in found if isinstance(entry, PermissionError)]
    for address, entry in zip(addresses, found, strict=True):
        missing = isinstance(entry, FileNotFoundError)
        denied = isinstance(entry, PermissionError) and len(refused) < max(2, len(found))
        if isinstance(entry, Exception) and not (missing or denied):
            raise SeedlingsError(
                f"cannot read {address}: {_described(entry)}; results are kept, so run the "
                "command again when the storage answers"
            ) from entry
    return dict(zip(addresses, found, strict=True))


def _root(address: str) -> str:
    """Return the protocol and the host or bucket of a remote address."""
    protocol, _, rest = address.partition("://")
    return f"{protocol}://{rest.partition('/')[0]}"


@cache
def _system(root: str) -> Any:
    # A kept listing would grow with the files, and would be out of date when others write.
    try:
        return fsspec.core.url_to_fs(f"{root}/", use_listings_cache=False)[0]
    except (ImportError, ValueError) as error:
        raise SeedlingsError(f"cannot open {root}: {_described(error)}") from error


def _described(error: Exception) -> str:
    return str(error) or type(error).__name__
