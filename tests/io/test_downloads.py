import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import pooch
import pytest

from seedlings.errors import SeedlingsError
from seedlings.io import downloads


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def requests_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that the server has answered, each with its status."""
    seen: list[str] = []

    def log(handler: Quiet, status: HTTPStatus, size: object = "-") -> None:
        seen.append(f"{handler.command} {int(status)}")

    monkeypatch.setattr(Quiet, "log_request", log)
    return seen


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server close the connection after ten bytes of a file."""

    def copy(handler: Quiet, source: BinaryIO, target: BinaryIO) -> None:
        target.write(source.read(10))

    monkeypatch.setattr(Quiet, "copyfile", copy)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which a server on loopback gives out its files."""
    folder = tmp_path / "served"
    folder.mkdir()
    cache = tmp_path / "cache"
    monkeypatch.setattr(pooch, "os_cache", lambda name: cache / name)
    monkeypatch.setattr(downloads, "_RETRIES", 0)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def put(path: Path, data: bytes, seconds: int) -> None:
    """Write a file of a server, with a time of its last change that is seconds after another."""
    path.write_bytes(data)
    os.utime(path, (10**9 + seconds, 10**9 + seconds))


def test_a_file_with_a_checksum_is_downloaded_once(served: tuple[Path, str]) -> None:
    folder, address = served
    (folder / "a b.zip").write_bytes(b"content")
    first = downloads.retrieve(f"{address}/a%20b.zip", sha256(b"content"))
    (folder / "a b.zip").unlink()
    assert downloads.retrieve(f"{address}/a%20b.zip", sha256(b"content")) == first
    assert first.read_bytes() == b"content"


@pytest.mark.parametrize("name", ["é" * 100 + ".zip", "a.zip?" + "x" * 300, "a.zip?dl=1&as=b.zip"])
def test_a_file_with_a_long_name_or_a_query_is_stored(name: str, served: tuple[Path, str]) -> None:
    folder, address = served
    (folder / name.partition("?")[0]).write_bytes(b"content")
    url = f"{address}/{quote(name, safe='?&=')}"  # up to 604 bytes
    path, found = downloads.current(url, None)
    assert path == downloads.retrieve(url, found)
    assert (path.read_bytes(), path.suffix) == (b"content", ".zip")
    assert len(path.name.encode()) < 200


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(SeedlingsError, match=r"^http://\[x/a\.zip: expected an http\(s\) address"):
        downloads.retrieve("http://[x/a.zip", sha256(b""))


def test_another_file_no_file_and_no_server_are_errors(served: tuple[Path, str]) -> None:
    folder, address = served
    (folder / "b.zip").write_bytes(b"content")
    with pytest.raises(SeedlingsError, match=r"b\.zip: .*hash"):
        downloads.retrieve(f"{address}/b.zip", "sha256:" + "0" * 64)
    with pytest.raises(SeedlingsError, match=r"none\.zip could not be downloaded.*404"):
        downloads.retrieve(f"{address}/none.zip", sha256(b""))
    with pytest.raises(SeedlingsError, match="could not be downloaded.*give its path"):
        downloads.current("http://127.0.0.1:9/a.zip", None)


def test_a_file_without_a_checksum_is_the_one_that_the_server_has_now(
    served: tuple[Path, str], requests_of: list[str]
) -> None:
    folder, address = served
    url = f"{address}/a.zip"
    put(folder / "a.zip", b"one", 0)
    path, found = downloads.current(url, None)
    assert (path.read_bytes(), found) == (b"one", sha256(b"one"))
    assert downloads.current(url, found) == (path, found)
    assert requests_of == ["HEAD 200", "GET 200", "HEAD 304"]  # an unchanged one is not sent again
    put(folder / "a.zip", b"two", 1)
    assert downloads.current(url, None) == (path, sha256(b"two"))
    assert path.read_bytes() == b"two"


def test_another_file_than_that_of_the_last_run_is_an_error_and_the_old_one_stays(
    served: tuple[Path, str],
) -> None:
    folder, address = served
    url = f"{address}/a.zip"
    put(folder / "a.zip", b"one", 0)
    path, last = downloads.current(url, None)
    put(folder / "a.zip", b"two", 1)
    for _ in range(2):
        message = f"expected the file of the last run, {last}, found {sha256(b'two')}; .*data.check"
        with pytest.raises(SeedlingsError, match=message):
            downloads.current(url, last)
    assert downloads.retrieve(url, last).read_bytes() == b"one"  # both ways out work
    assert downloads.retrieve(url, sha256(b"two")) == path
    assert path.read_bytes() == b"two"
    assert downloads.current(url, sha256(b"two")) == (path, sha256(b"two"))


def test_without_an_answer_the_file_in_the_cache_is_used_with_a_message(
    served: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, address = served
    url = f"{address}/a.zip"
    put(folder / "a.zip", b"one", 0)
    kept = downloads.current(url, None)
    assert "cache" not in capsys.readouterr().err
    (folder / "a.zip").unlink()
    assert downloads.current(url, None) == kept
    error = capsys.readouterr().err
    assert error.startswith(f"{url}: 404 ")
    assert error.endswith(f"; the file in the cache is used, {sha256(b'one')}\n")
    with pytest.raises(SeedlingsError, match="expected the file of the last run"):
        downloads.current(url, sha256(b"other"))


def test_a_damaged_file_in_the_cache_is_downloaded_again(served: tuple[Path, str]) -> None:
    folder, address = served
    url = f"{address}/a.zip"
    put(folder / "a.zip", b"one", 0)
    path, found = downloads.current(url, None)
    path.write_bytes(b"")  # as after a power cut
    assert downloads.current(url, found) == (path, found)
    assert path.read_bytes() == b"one"


def test_a_download_that_ends_early_is_an_error_and_leaves_nothing(
    served: tuple[Path, str], cut: None
) -> None:
    folder, address = served
    put(folder / "a.zip", b"one" * 10, 0)
    with pytest.raises(SeedlingsError, match="could not be downloaded"):
        downloads.current(f"{address}/a.zip", None)
    with pytest.raises(SeedlingsError, match="could not be downloaded"):
        downloads.retrieve(f"{address}/a.zip", sha256(b"one" * 10))
    assert [*(folder.parent / "cache" / "seedlings").iterdir()] == []


def test_verify_takes_the_usual_forms(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    sha, md5 = hashlib.sha256(b"content").hexdigest(), hashlib.md5(b"content").hexdigest()
    for checksum in (None, sha, sha.upper(), f"sha256:{sha}", f"md5:{md5}"):
        downloads.verify(path, checksum)
    with pytest.raises(SeedlingsError, match=f"expected the md5 checksum {sha[:32]}, found {md5}"):
        downloads.verify(path, f"md5:{sha[:32]}")
