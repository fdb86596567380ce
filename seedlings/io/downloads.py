"""Downloads: files from the web, cached and verified by their checksum."""

import hashlib
import logging
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests

from seedlings.errors import SeedlingsError

_RETRIES = 3


def retrieve(url: str, checksum: str | None) -> Path:
    """Return the path of the file at an HTTP(S) URL in the user's cache, and download it if needed.

    Raises SeedlingsError if the download fails, or if the file has another checksum.
    """
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    name = f"{digest}-{Path(urlsplit(url).path).name}"
    pooch.get_logger().setLevel(logging.WARNING)
    cache = pooch.create(
        path=pooch.os_cache("seedlings"),
        base_url="",
        registry={name: checksum},
        urls={name: url},
        retry_if_failed=_RETRIES,
    )
    try:
        return Path(cache.fetch(name, downloader=pooch.HTTPDownloader(progressbar=True)))
    except requests.RequestException as error:
        raise SeedlingsError(
            f"{url} could not be downloaded in {_RETRIES + 1} attempts ({error}); "
            "check the URL and the network, or download it on another machine and give its path"
        ) from error
    except ValueError as error:
        raise SeedlingsError(f"{url}: {error}") from error


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
