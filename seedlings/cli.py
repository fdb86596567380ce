"""The command line: `seedlings summary` and `seedlings ui`."""

import os
import sys

import click

from seedlings import layout, records, tracking
from seedlings.errors import SeedlingsError

_MODELS = ("majority", "baseline", "finetuned")
_ROWS = (
    ("accuracy", "accuracy"),
    ("  from", "accuracy_low"),
    ("  to", "accuracy_high"),
    ("macro F1", "macro_f1"),
    ("weighted F1", "weighted_f1"),
    ("log-loss", "log_loss"),
    ("calibration error", "calibration_error"),
)


@click.group()
def cli() -> None:
    """Seedlings: a reproducible image-classification pipeline."""


@cli.command()
def summary() -> None:
    """Show the models' metrics side by side, and where the pictures are."""
    path = layout.record("evaluate")
    if not path.exists():
        raise SeedlingsError(f"expected {path}, found none; run `make repro` or `dvc pull`")
    metrics = records.read(path).metrics
    click.echo(f"\nOn {metrics['images']:.0f} test images:\n")
    click.echo(f"  {'':<20}" + "".join(f"{name:>12}" for name in _MODELS))
    for title, key in _ROWS:
        cells = [metrics.get(f"{name}/{key}") for name in _MODELS]
        texts = ["" if cell is None else f"{cell:.4f}" for cell in cells]
        click.echo(f"  {title:<20}" + "".join(f"{text:>12}" for text in texts))
    click.echo(
        f"\n  McNemar's test: {metrics['mcnemar/only_finetuned_right']:.0f} images only the "
        f"fine-tuned model got right, {metrics['mcnemar/only_baseline_right']:.0f} only the "
        f"baseline; p = {metrics['mcnemar/p_value']:.2g}"
    )
    click.echo("\nPictures:")
    for stage in pictures():
        click.echo(f"  {stage}")
    click.echo("\nMLflow:  make ui")


@cli.command()
@click.option("--port", default=5000, show_default=True, help="The port on 127.0.0.1.")
def ui(port: int) -> None:
    """Open MLflow on this project's runs; it serves this machine alone."""
    tracking.connect()
    command = ["mlflow", "ui", "--backend-store-uri", tracking.uri(), "--port", str(port)]
    click.echo(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)")
    os.execvp(command[0], command)  # noqa: S606 - replaces this process, no shell


def pictures() -> list[str]:
    """The pictures of all stages that have a record."""
    found = []
    for path in sorted(layout.REPORTS.glob("*/record.json")):
        found += records.read(path).pictures
    return found


def main() -> None:
    """The command `seedlings`: an error that a user can act on is shown without a traceback."""
    try:
        cli(standalone_mode=True)
    except SeedlingsError as error:
        sys.exit(f"seedlings: {error}")
