"""Real servers on loopback, started by a test and ended by it, by their own ids."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from fastapi import FastAPI

from seedlings.serving import http_server
from seedlings.serving.http_requests import Limits


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(
    *command: str, port: int, folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process that listens on a port; ended with all it started."""
    log = folder / f"{Path(command[0]).name}-{port}.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=folder, env=env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        while True:
            assert server.poll() is None, log.read_text(encoding="utf-8")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@contextmanager
def in_thread(app: FastAPI) -> Iterator[str]:
    """A server of an app, in a thread of this process; gives its address."""
    server = http_server.server(app, host="127.0.0.1", port=0, limits=Limits())
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def ssh(folder: Path) -> Iterator[tuple[str, Path]]:
    """OpenSSH's server with key login; gives an address and the key's file."""
    port = free_port()
    command = sshd(folder, "127.0.0.1", port)
    with running(*command, port=port, folder=folder):
        yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}{folder / 'files'}", folder / "user"


def sshd(folder: Path, address: str, port: int) -> list[str]:
    """The command of OpenSSH's server, which lets in the key `user` in a new folder."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("there is no sshd here (Debian's openssh-server)")
    folder.mkdir()
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    (folder / "config").write_text(
        f"Port {port}\nListenAddress {address}\nHostKey {folder / 'host'}\n"
        f"AuthorizedKeysFile {folder / 'user.pub'}\nPidFile none\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        "Subsystem sftp internal-sftp\n",
        encoding="utf-8",
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    return [program, "-D", "-e", "-f", str(folder / "config")]


@contextmanager
def s3(folder: Path) -> Iterator[str]:
    """A server of the S3 protocol with the bucket `team`; gives its address."""
    folder.mkdir()
    port = free_port()
    command = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
    with running(*command, port=port, folder=folder):
        address = f"http://127.0.0.1:{port}"
        boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        ).create_bucket(Bucket="team")
        yield address


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """PostgreSQL with an empty database; gives its address."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("there is no PostgreSQL here (Debian's postgresql)")
    binaries = found[-1].parent
    folder.mkdir()
    as_user: tuple[str, ...] = ()
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        for parent in [*folder.parents][:-2]:
            parent.chmod(parent.stat().st_mode | 0o011)
        as_user = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
    data, port = folder / "data", free_port()
    setup = [*as_user, str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "mlflow"]
    subprocess.run(setup, check=True, capture_output=True, cwd="/")
    command = (*as_user, str(binaries / "postgres"), "-D", str(data), "-p", str(port))
    options = ("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}")
    with running(*command, *options, port=port, folder=folder):
        yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
