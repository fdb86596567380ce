"""Downloads: files from the web, fetched once and checked."""

import hashlib
import logging
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests

from seedlings.errors import SeedlingsError

_RETRIES = 3


def retrieve(url: str, checksum: str | None) -> Path:
    """The file at an http(s) address, in the user's cache; fetched once, with a progress bar.

    Raises SeedlingsError where it cannot be reached, or where its checksum is another.
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
            "check the address and the network, or download it elsewhere and give its path"
        ) from error
    except ValueError as error:
        raise SeedlingsError(f"{url}: {error}") from error


def verify(path: Path, checksum: str | None) -> None:
    """Hold a file against its checksum (`algorithm:hex`, or plain hex for sha256), if there is one.

    Raises SeedlingsError where they differ.
    """
    if checksum is None:
        return
    algorithm, _, expected = checksum.rpartition(":")
    algorithm = algorithm or "sha256"
    found = pooch.file_hash(str(path), alg=algorithm)
    if found.lower() != expected.lower():
        raise SeedlingsError(
            f"{path}: expected the {algorithm} checksum {expected}, found {found}; "
            "the file is damaged, or it is another version"
        )
