"""The commands `sync`, `runs`, `ui` and `promote`, for the runs and the models in MLflow."""

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from seedlings.errors import SeedlingsError
from seedlings.tracking.tags import PARENT, RESTORED

if TYPE_CHECKING:
    from seedlings.tracking.revisions import Revision


@click.command("sync")
@click.option("--rev", metavar="REV", help="Log this commit, branch, tag or experiment.")
@click.option(
    "--all", "everything", is_flag=True, help="Log the workspace, all commits and experiments."
)
@click.option("--models/--no-models", default=True, help="Also log the models.")
def sync_command(rev: str | None, everything: bool, models: bool) -> None:
    """Log results in MLflow, by default those of the workspace."""
    from seedlings.tracking import client, sync

    new, missing = sync.publish(_wanted(rev, everything), models=models)
    click.echo(f"MLflow at {client.uri()}: {new} new")
    if missing:
        count = f"{len(missing)} revisions, such as " if len(missing) > 1 else ""
        click.echo(f"not logged: {count}{missing[0]}", err=True)


def _wanted(rev: str | None, everything: bool) -> "Iterable[Revision]":
    from seedlings.tracking import revisions

    if not everything:
        return [revisions.at(rev) if rev else revisions.current()]
    return itertools.chain(revisions.every(), _workspace())


def _workspace() -> "Iterator[Revision]":
    """Yield the revision of the workspace, unless stages have to run first."""
    from seedlings.tracking import revisions

    try:
        yield revisions.current()
    except SeedlingsError as error:
        click.echo(f"not logged: {error}", err=True)


@click.command()
@click.argument("path")
def runs(path: str) -> None:
    """List the runs in MLflow that made or restored PATH."""
    from seedlings.tracking import revisions, sync

    for run in sync.runs_of(path, revisions.current()):
        info, tags = run.info, run.data.tags
        how = "restored" if RESTORED in tags else "made"
        click.echo(f"{info.run_id}  {info.run_name:<10} {how:<9} under {tags[PARENT]}")


@click.command()
@click.option("--port", default=5000, show_default=True, help="The port on 127.0.0.1.")
def ui(port: int) -> None:
    """Log the workspace and serve MLflow's web pages.

    The server listens on 127.0.0.1 only.
    """
    from seedlings.tracking import client

    _sync_workspace()
    with client.reachable():
        page = client.Tracker().page
    if client.uri().startswith(("http://", "https://")):
        click.echo(f"MLflow is at {client.uri()}/{page} (MLFLOW_TRACKING_URI)")
        return
    os.environ.setdefault(
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false"
    )  # jobs would start more processes
    command = ["mlflow", "ui", "--backend-store-uri", client.uri(), "--port", str(port)]
    click.echo(f"MLflow on http://127.0.0.1:{port}/{page} (stop with Ctrl-C)")
    os.execvp(command[0], command)  # noqa: S606 - replaces this process, no shell


def _sync_workspace() -> None:
    from seedlings.tracking import sync

    try:
        sync.publish(_workspace())
    except SeedlingsError as error:
        click.echo(f"not logged: {error}", err=True)


@click.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Promote the model even if it is not better.")
@click.option(
    "--confidence",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="The confidence level of the test.",
)
def promote(name: str, force: bool, confidence: float) -> None:
    """Make a model the champion if it is significantly better.

    NAME is an experiment, a revision, a run in MLflow, or `workspace`. Its model is compared with
    the champion on the same test images.
    """
    from seedlings.tracking import registry

    click.echo(f"{registry.ADDRESS} is {registry.promote(name, confidence, force=force)}")


COMMANDS = (sync_command, runs, ui, promote)
