"""The command `search`."""

import importlib.util
import time
from pathlib import Path

import click

from seedlings.errors import SeedlingsError


@click.command()
@click.argument("space", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--trials", "count", required=True, type=click.IntRange(min=1))
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--name", help="Of the search and its experiments; by default that of the file.")
@click.option("--timeout", type=click.FloatRange(min=0.0), help="Minutes; no trial starts later.")
def search(space: Path, count: int, jobs: int, name: str | None, timeout: float | None) -> None:
    """Search for better parameters: each trial is an experiment of DVC.

    SPACE is a YAML file such as spaces/head.yaml. Trials are compared on validation images; the
    best one is evaluated on test images once, at the end. After a kill, the same command goes on.
    See docs/search.md.
    """
    if importlib.util.find_spec("optuna") is None:
        raise SeedlingsError("expected the package `optuna`, found none; `make .venv/search`")
    from seedlings.runners import command

    deadline = float("inf") if timeout is None else time.monotonic() + timeout * 60.0
    command.run(
        space, name or space.stem, count=count, jobs=jobs, deadline=deadline, say=click.echo
    )


COMMANDS = (search,)
