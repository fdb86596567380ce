"""The command `seedlings` with its subcommands `summary`, `preset`, `compare`, and so on."""

import os
import sys

import click

# A command waits longer for MLflow than a stage does. MLflow reads these when it is imported.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

from seedlings.cli import (
    clusters,
    configuration,
    exports,
    labels,
    predictions,
    repeats,
    results,
    runs,
    searches,
    servers,
    sharing,
)
from seedlings.errors import SeedlingsError


@click.group()
def cli() -> None:
    """Seedlings: a reproducible image-classification pipeline."""


_MODULES = (
    configuration,
    results,
    labels,
    runs,
    searches,
    repeats,
    sharing,
    predictions,
    servers,
    exports,
    clusters,
)
for _module in _MODULES:
    for _command in _module.COMMANDS:
        cli.add_command(_command)


def main() -> None:
    """Run the command `seedlings`; print a SeedlingsError without a traceback."""
    try:
        cli(standalone_mode=True)
    except SeedlingsError as error:
        sys.exit(f"seedlings: {error}")
