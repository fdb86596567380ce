"""Web pages that commands show with Streamlit, on the loopback address."""

import errno
import importlib.util
import os
import socket
from pathlib import Path

import click

from seedlings import processor
from seedlings.errors import SeedlingsError

PORT = click.IntRange(1, 65535)
_OPTIONS = {
    "browser.gatherUsageStats": "false",  # send no usage data
    "client.toolbarMode": "viewer",
    "server.address": "127.0.0.1",
    "server.fileWatcherType": "none",
    "server.headless": "true",
    "server.maxUploadSize": "64",
}


def check(port: int) -> None:
    """Raise SeedlingsError if there is no Streamlit, or if the port is in use."""
    if importlib.util.find_spec("streamlit") is None:
        raise SeedlingsError("expected Streamlit, found none; `make .venv/demo` installs it")
    check_port(port)


def check_port(port: int, host: str = "127.0.0.1") -> None:
    """Raise SeedlingsError if a port of an address of this machine cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"port {port} is in use; choose another with --port"
        else:
            reason = f"cannot use port {port} of {host} ({error.strerror}); choose another one"
        raise SeedlingsError(reason) from error


def serve(script: Path, port: int, *arguments: str, portable: bool) -> None:
    """Replace this process by Streamlit, which runs a script with the arguments."""
    options = {**_OPTIONS, "server.port": str(port)}
    command = ["streamlit", "run", str(script)]
    command += [f"--{key}={value}" for key, value in options.items()]
    click.echo(f"page: http://127.0.0.1:{port} (stop with Ctrl-C)")
    environment = processor.environment(portable=portable)
    os.execvpe(command[0], [*command, "--", *arguments], environment)  # noqa: S606 - no shell
