"""The model servers, one entry each: how they are started, asked, and asked for nonsense."""

import base64
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import requests

from benchmarks.project import environment
from seedlings import images

Request = tuple[bytes, dict[str, str]]  # its body and its headers

COMMAND = "from seedlings import cli; cli.main()"
JSON = {"Content-Type": "application/json"}
_START = 300.0  # seconds in which a server has to listen
_BOUNDARY = {"Content-Type": "multipart/form-data; boundary=x"}
PICTURE = images.encode_png(np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8))


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A server: options of `seedlings serve`, its paths, and what it takes and does not take.

    `wrap` returns the value of a request in JSON for some cells, which are texts in base64.
    """

    options: tuple[str, ...]
    path: str
    ready: str
    wrap: Callable[[Sequence[Any]], Any]
    refused: tuple[Request, ...]

    def request(self, *cells: Any) -> bytes:
        """Return a request in JSON."""
        return json.dumps(self.wrap(cells)).encode()

    def malformed(self, rng: np.random.Generator) -> Request:
        """Return a request that nobody can answer."""
        noise = rng.bytes(int(rng.integers(1, 400)))
        whole = self.request(encoded(PICTURE))
        cut = whole[: int(rng.integers(1, len(whole)))]
        bodies = [
            *(noise, b"", cut, b"[" * int(rng.integers(1, 300))),
            json.dumps({"inputs": {"picture": [1]}}).encode(),
            json.dumps({"dataframe_split": int(rng.integers(9))}).encode(),
            json.dumps({"images": int(rng.integers(9))}).encode(),
            json.dumps({"inputs": [[[1, 2], [3, 4]]]}).encode(),
            json.dumps({"instances": [{"image": [encoded(PICTURE)]}]}).encode(),
            self.request(encoded(noise)),
            self.request(encoded(PICTURE), encoded(PICTURE[: len(PICTURE) // 2])),
            self.request(encoded(png_that_claims(20_000, 20_000))),
            self.request(int(rng.integers(100))),
            self.request(None),
            self.request("/etc/hostname"),
            self.request(),
        ]
        choices = [
            *((body, JSON) for body in bodies),
            (b"image\n/etc/hostname\n", {"Content-Type": "text/csv"}),
            *self.refused,
        ]
        return choices[int(rng.integers(len(choices)))]


def encoded(data: bytes) -> str:
    """Return a file in base64."""
    return base64.b64encode(data).decode()


def png_that_claims(height: int, width: int) -> bytes:
    """Return a small PNG whose header speaks of more pixels than there are."""
    data = bytearray(images.encode_png(np.zeros((2, 2, 3), np.uint8)))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def _split(cells: Sequence[Any], column: str = "image") -> dict[str, Any]:
    return {"dataframe_split": {"columns": [column], "data": [[cell] for cell in cells]}}


def _part(header: bytes, data: bytes) -> bytes:
    return b"--x\r\nContent-Disposition: form-data; " + header + b"\r\n\r\n" + data


_FILE = _part(b'name="a"; filename="b.png"', PICTURE)
SERVERS = {
    "mlflow": ModelServer(
        (),
        "/invocations",
        "/ping",
        _split,
        refused=(
            (json.dumps(_split([encoded(PICTURE)], "path")).encode(), JSON),
            (PICTURE, {"Content-Type": "image/png"}),
        ),
    ),
    "http": ModelServer(
        ("--http",),
        "/predict",
        "/health",
        lambda cells: {"images": list(cells)},
        refused=(
            (PICTURE[:300], {"Content-Type": "image/png"}),
            (png_that_claims(20_000, 20_000), {"Content-Type": "application/x"}),
            (b"", {"Content-Type": "image/png"}),
            (_FILE + b"\r\n--x--\r\n", {"Content-Type": "multipart/form-data"}),
            (_FILE[:60], _BOUNDARY),
            (b"\r\n--x--\r\n", _BOUNDARY),
            (_part(b'name="a"', b"text") + b"\r\n--x--\r\n", _BOUNDARY),
            (_part(b"name=", b"text") + b"\r\n--x--\r\n", _BOUNDARY),
            ((_FILE + b"\r\n") * 40 + b"--x--\r\n", _BOUNDARY),
            (_FILE + b"\r\n--x--\r\n", {"Content-Type": f"{_BOUNDARY['Content-Type']}y"}),
        ),
    ),
}


@contextmanager
def running(server: ModelServer, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve `package` in a folder; give the process and its address.

    The server and all that it started end.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    options = ("--model", str(folder / "package"), "--port", str(port), *server.options)
    log = folder / f"server-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            (sys.executable, "-c", COMMAND, "serve", *options),
            cwd=folder,
            env=environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,  # a group of its own, which ends as a whole
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}{server.ready}", log)
        yield process, f"http://127.0.0.1:{port}{server.path}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Wait until the server answers; exit with its log if it does not."""
    end = time.monotonic() + _START
    while process.poll() is None and time.monotonic() < end:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.02)
    sys.exit(f"expected a server at {address}, found none:\n{log.read_text(encoding='utf-8')}")
