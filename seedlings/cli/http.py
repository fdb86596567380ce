"""The HTTP server for people, which the command `serve` starts with `--http`."""

import os
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seedlings import processor
from seedlings.cli import packages, pages
from seedlings.errors import SeedlingsError

if TYPE_CHECKING:
    from seedlings.exports.folder import Origin

_MODULES = ("fastapi", "markdown_it", "prometheus_client", "python_multipart", "uvicorn")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def check(host: str, port: int, limits: Sequence[str]) -> None:
    """Raise SeedlingsError if a package is absent, or if an option cannot be used."""
    absent = [name for name in _MODULES if find_spec(name) is None]
    if absent:
        raise SeedlingsError(
            f"--http: expected {' and '.join(absent)}, found none; `make .venv/http` installs the "
            "extra `http`"
        )
    from seedlings.serving.http_requests import Limits

    try:
        Limits().changed(limits)
    except ValueError as error:
        raise SeedlingsError(f"--limit: {error}") from error
    pages.check_port(port, host)


def serve(model: str, target: Path, *, host: str, port: int, limits: Sequence[str]) -> None:
    """Serve a model by an export of it, or by TensorFlow, from its copy in a new folder.

    An export is served by a process that replaces this one.
    """
    from seedlings.exports.folder import Origin
    from seedlings.packaging import bundle

    origin = Origin(card=packages.card(model))
    with packages.package_of(model) as package:
        portable = bundle.read(package).portable
        processor.use(portable=portable)
        is_export = _export(package, target, origin)
        if not is_export:
            shutil.copytree(package, target)
    click.echo(f"model: {packages.described(model)}")
    click.echo(f"engine: {'LiteRT' if is_export else 'TensorFlow'}")
    if host not in _LOOPBACK:
        click.echo("anyone who reaches this address can use the server: see docs/security.md")
    click.echo(f"server: http://{f'[{host}]' if ':' in host else host}:{port} (stop with Ctrl-C)")
    if is_export:
        command = [sys.executable, "-m", "seedlings.exports.server", "--folder", str(target)]
        command += ["--host", host, "--port", str(port), *(f"--limit={limit}" for limit in limits)]
        environment = processor.environment(portable=portable)
        os.execvpe(command[0], command, environment)  # noqa: S606 - no shell
    else:
        _serve_with_tensorflow(target, origin.card, host, port, limits)


def _export(package: Path, target: Path, origin: "Origin") -> bool:
    """Write an export into a new folder; return whether there is one."""
    from seedlings.exports import cached, files

    if not cached.is_installed():
        return False
    try:
        cached.copy(package, target, files=files.of_tests(), origin=origin)
    except (SeedlingsError, OSError) as error:
        if not isinstance(error, cached.NotEqualError):  # which was told at the first use
            click.echo(f"TensorFlow answers, as there is no export: {error}", err=True)
        return False
    return True


def _serve_with_tensorflow(
    package: Path, card: str, host: str, port: int, limits: Sequence[str]
) -> None:
    from seedlings.serving import http_server
    from seedlings.serving.http_requests import Limits
    from seedlings.serving.predictor import Predictor

    predictor = Predictor(package)
    changed = Limits().changed(limits)
    app = http_server.app(predictor, predictor.engine, card, changed)
    http_server.serve(app, host=host, port=port, limits=changed)
