"""The command `cluster`."""

import importlib.util
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from filelock import FileLock, Timeout

from seedlings.config import paths
from seedlings.errors import SeedlingsError


@click.command()
@click.option("--workers", default=2, show_default=True, type=click.IntRange(min=0))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=8786, show_default=True, help="The scheduler's port; 0: a free one."
)
@click.option("--settings-only", is_flag=True, help="Only write new keys and Dask's settings.")
def cluster(workers: int, host: str, port: int, settings_only: bool) -> None:
    """Start a scheduler and workers, on which stages compute.

    Export the two variables that it prints, and run the pipeline in another terminal. All
    connections use mutual TLS with a key made for this cluster; whoever has the key may run code
    on its machines. See docs/cluster.md for several machines.
    """
    if importlib.util.find_spec("distributed") is None:
        raise SeedlingsError("expected the package `distributed`, found none; `make .venv/cluster`")
    from seedlings.cluster import local

    folder = paths.home() / ".dvc" / "tmp" / "cluster"
    with _alone(folder):
        settings = local.write_settings(folder)
        if settings_only:
            click.echo(str(settings))
            return
        with local.running(settings, workers=workers, host=host, port=port) as address:
            with suppress(KeyboardInterrupt):
                click.echo(f"# {workers} workers; stop with Ctrl-C", err=True)
                click.echo(f"export DASK_CONFIG={shlex.quote(str(settings))}")
                click.echo(f"export DASK_SCHEDULER_ADDRESS={address}")
                threading.Event().wait()
            click.echo("# stopped", err=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Raise SeedlingsError if a cluster uses the key in a folder, which another would replace."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout as error:
        raise SeedlingsError(
            f"expected no cluster that uses the key in {folder}, found one that runs; stop it first"
        ) from error


COMMANDS = (cluster,)
