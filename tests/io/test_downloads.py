import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pooch
import pytest

from seedlings.errors import SeedlingsError
from seedlings.io import downloads


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which a server on loopback gives out its files."""
    folder = tmp_path / "served"
    folder.mkdir()
    cache = tmp_path / "cache"
    monkeypatch.setattr(pooch, "os_cache", lambda name: cache / name)
    monkeypatch.setattr(downloads, "_RETRIES", 0)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_is_fetched_once(served: tuple[Path, str]) -> None:
    folder, address = served
    (folder / "a b.zip").write_bytes(b"content")
    first = downloads.retrieve(f"{address}/a%20b.zip", None)
    (folder / "a b.zip").unlink()
    assert downloads.retrieve(f"{address}/a%20b.zip", None) == first
    assert first.read_bytes() == b"content"


def test_a_checksum_is_held_against_the_file(served: tuple[Path, str]) -> None:
    folder, address = served
    (folder / "a.zip").write_bytes(b"content")
    right = hashlib.sha256(b"content").hexdigest()
    assert downloads.retrieve(f"{address}/a.zip", f"sha256:{right}").exists()
    (folder / "b.zip").write_bytes(b"content")
    with pytest.raises(SeedlingsError, match=r"b\.zip: .*hash"):
        downloads.retrieve(f"{address}/b.zip", "sha256:" + "0" * 64)


def test_a_missing_file_and_a_missing_server_are_errors(served: tuple[Path, str]) -> None:
    _, address = served
    with pytest.raises(SeedlingsError, match=r"none\.zip could not be downloaded.*404"):
        downloads.retrieve(f"{address}/none.zip", None)
    with pytest.raises(SeedlingsError, match="could not be downloaded.*give its path"):
        downloads.retrieve("http://127.0.0.1:9/a.zip", None)


def test_verify_takes_the_usual_forms(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    sha, md5 = hashlib.sha256(b"content").hexdigest(), hashlib.md5(b"content").hexdigest()
    for checksum in (None, sha, sha.upper(), f"sha256:{sha}", f"md5:{md5}"):
        downloads.verify(path, checksum)
    with pytest.raises(SeedlingsError, match=f"expected the md5 checksum {sha[:32]}, found {md5}"):
        downloads.verify(path, f"md5:{sha[:32]}")
