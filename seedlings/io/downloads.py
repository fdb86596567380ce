"""Downloads: files from the web, in the user's cache, identified by their checksum."""

import hashlib
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests

from seedlings.errors import SeedlingsError
from seedlings.io.files import replacing

_RETRIES = 3
_TIMEOUT = 30.0  # seconds
_LONGEST = 150  # bytes of a name; with the other parts of a temporary file it has at most 255
# Headers that identify a version of a file, and how a request asks for another one (RFC 9110).
_VERSIONS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}


def retrieve(url: str, checksum: str) -> Path:
    """Return the path of the file at an HTTP(S) URL in the user's cache, and download it if needed.

    Raises SeedlingsError if the download fails, or if the file has another checksum.
    """
    file = _place(url)
    try:
        _download(url, file, checksum)
    except requests.RequestException as error:
        raise _failed(url, error) from error
    return file


def current(url: str, last: str | None) -> tuple[Path, str]:
    """Return the path and the checksum of the file that an HTTP(S) URL has now.

    The checksum is `sha256:` and 64 hex digits. The file in the user's cache is used if the server
    answers that it has not changed; also, with a message, if the server has no file or no answer.
    Raises SeedlingsError if the download fails without a file in the cache, and if the checksum is
    not `last`, where one is given; then the file in the cache stays.
    """
    file = _place(url)
    kept = _kept(file)
    try:
        version = _version(url, kept)
        found = kept["checksum"] if version is None else _renew(url, file, version, last)
    except requests.RequestException as error:
        if not kept:
            raise _failed(url, error) from error
        found = kept["checksum"]
        print(f"{url}: {error}; the file in the cache is used, {found}", file=sys.stderr)
    _compare(url, found, last)
    return file, found


def _place(url: str) -> Path:
    """Return the path in the user's cache for the file at a URL, with the end of a long name."""
    prefix = hashlib.sha256(url.encode()).hexdigest()[:16]
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise SeedlingsError(f"{url}: expected an http(s) address, found none ({error})") from error
    name = Path(path).name.encode()[-_LONGEST:].decode(errors="ignore")
    return Path(pooch.os_cache("seedlings")) / f"{prefix}-{name}"


def _note(file: Path) -> Path:
    """Return the path of the checksum and the version of a file in the cache."""
    return file.with_name(f"{file.name}.json")


def _kept(file: Path) -> dict[str, str]:
    """Return the checksum and the version of a file in the cache; none if it is not whole.

    The version is missing if `retrieve` has put the file there.
    """
    if not file.is_file():
        return {}
    found = {"checksum": f"sha256:{digest(file)}"}
    if not _note(file).is_file():
        return found
    note: dict[str, str] = json.loads(_note(file).read_text(encoding="utf-8"))
    return note if note["checksum"] == found["checksum"] else {}


def _version(url: str, kept: Mapping[str, str]) -> dict[str, str] | None:
    """Return the version of the file at a URL, or None if it is the one in the cache.

    It is empty for a server that names no versions, or answers no HEAD request. Raises
    requests.RequestException if there is a file in the cache and no answer.
    """
    asked = {header: kept[name] for name, header in _VERSIONS.items() if name in kept}
    try:
        answer = requests.head(url, headers=asked, allow_redirects=True, timeout=_TIMEOUT)
    except requests.RequestException:
        if kept:
            raise
        return {}
    if asked and answer.status_code == requests.codes.not_modified:
        return None
    return {
        name: answer.headers[name] for name in _VERSIONS if answer.ok and name in answer.headers
    }


def _renew(url: str, file: Path, version: Mapping[str, str], last: str | None) -> str:
    """Replace a file in the cache by a download, and return its checksum."""
    with replacing(file, shared=True) as scratch:
        _download(url, scratch, None)
        found = f"sha256:{digest(scratch)}"
        _compare(url, found, last)
    with replacing(_note(file), shared=True) as scratch:
        scratch.write_text(json.dumps({"checksum": found, **version}), encoding="utf-8")
    return found


def _download(url: str, file: Path, checksum: str | None) -> None:
    """Download a file, unless it is there with its checksum. Raises requests.RequestException."""
    pooch.get_logger().setLevel(logging.WARNING)
    cache = pooch.create(
        path=file.parent,
        base_url="",
        registry={file.name: checksum},
        urls={file.name: url},
        retry_if_failed=_RETRIES,
    )
    try:
        cache.fetch(file.name, downloader=pooch.HTTPDownloader(progressbar=True))
    except ValueError as error:
        raise SeedlingsError(f"{url}: {error}") from error


def _compare(url: str, found: str, last: str | None) -> None:
    if last is not None and found != last:
        raise SeedlingsError(
            f"{url}: expected the file of the last run, {last}, found {found}; the file at this "
            f"URL has changed. To use the new one, set data.checksum to {found}; to keep the old "
            f"one, if this machine has it in its cache, set data.checksum to {last}"
        )


def _failed(url: str, error: requests.RequestException) -> SeedlingsError:
    return SeedlingsError(
        f"{url} could not be downloaded in {_RETRIES + 1} attempts ({error}); "
        "check the URL and the network, or download it on another machine and give its path"
    )


def verify(path: Path, checksum: str | None) -> None:
    """Compare a file with its checksum (`algorithm:hex`, or plain hex for sha256), if there is one.

    Raises SeedlingsError if they differ.
    """
    if checksum is None:
        return
    algorithm, _, expected = checksum.rpartition(":")
    algorithm = algorithm or "sha256"
    found = digest(path, algorithm)
    if found.lower() != expected.lower():
        raise SeedlingsError(
            f"{path}: expected the {algorithm} checksum {expected}, found {found}; "
            "the file is damaged, or it is another version"
        )


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the checksum of a file as hexadecimal digits."""
    return pooch.file_hash(str(path), alg=algorithm)
