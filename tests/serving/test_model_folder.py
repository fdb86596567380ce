"""The folder of a server, with `sleep` in the place of the server."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from imports import ROOT

from seedlings.serving import model_folder

Start = Callable[[], tuple[subprocess.Popen[str], Path]]

_SERVER = """
import os
import sys
from pathlib import Path
from seedlings.serving import model_folder
with model_folder.create(Path(sys.argv[1])) as folder:
    (folder / "model").touch()
    print(folder, flush=True)
    os.execvp("sleep", ["sleep", "1000"])
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server; return its process and its folder."""
    servers = []

    def begin() -> tuple[subprocess.Popen[str], Path]:
        command = [sys.executable, "-c", _SERVER, str(tmp_path / "servers")]
        server = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            # A shell lets what it starts in the background ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        servers.append(server)
        assert server.stdout
        return server, Path(server.stdout.readline().strip())

    yield begin
    for server in servers:
        server.kill()
        server.communicate()


def wait_until_removed(folder: Path) -> None:
    while folder.exists():
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_folder_of_a_server_is_removed_when_it_ends(
    start: Start, number: signal.Signals
) -> None:
    server, folder = start()
    assert (folder / "model").exists()
    assert server.poll() is None
    server.send_signal(number)
    wait_until_removed(folder)
    assert server.wait() == -number


def test_a_second_server_leaves_the_folder_of_the_first_alone(start: Start) -> None:
    first, folder = start()
    second, other = start()
    assert folder != other
    assert (folder / "model").exists()
    second.kill()
    wait_until_removed(other)
    assert (folder / "model").exists()
    first.kill()
    wait_until_removed(folder)


def test_a_folder_without_a_server_is_removed_at_the_next_start(
    start: Start, tmp_path: Path
) -> None:
    left = tmp_path / "servers" / "left"
    left.mkdir(parents=True)
    (left / "model").touch()
    _, folder = start()
    assert sorted(tmp_path.glob("servers/*/model")) == [folder / "model"]


def test_an_error_before_the_server_starts_removes_the_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), model_folder.create(tmp_path) as folder:
        raise KeyError
    wait_until_removed(folder)
