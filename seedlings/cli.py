"""The command line: `seedlings summary`, `preset`, `compare`, `ui`, `sync`, and so on."""

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

# A command waits longer for MLflow than a stage does; read when tracking is imported.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

from seedlings import (
    layout,
    presets,
    records,
    sharing,
    states,
    summaries,
    sync,
    tracking,
    verification,
)
from seedlings.errors import SeedlingsError
from seedlings.files import remove

_SHOWN = 5
_MODEL = "A folder with a package, a run in MLflow, or models:/seedlings@champion."
_LAST = "  [default: the champion, else the last]"
_DEMO = {
    "browser.gatherUsageStats": "false",  # nothing leaves this machine
    "client.toolbarMode": "viewer",
    "server.address": "127.0.0.1",
    "server.fileWatcherType": "none",
    "server.headless": "true",
    "server.maxUploadSize": "64",
}


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
    for line in _side_by_side(metrics):
        click.echo(f"  {line}")
    click.echo(f"\n  {summaries.comparison(metrics)}")
    if layout.PAGE.exists():
        click.echo(f"\nReport:  {layout.PAGE}")
    click.echo("\nPictures:")
    for stage in pictures():
        click.echo(f"  {stage}")
    click.echo("\nMLflow:  make ui")


@cli.command()
@click.argument("name", required=False)
def preset(name: str | None) -> None:
    """Make the preset NAME the default of conf/, and write params.yaml from it.

    Without a NAME: tell where params.yaml and conf/ differ.
    """
    if name:
        presets.choose(name)
        click.echo(f"{layout.PARAMS} and the default of {layout.CONF}/ are now {name}")
        return
    differences = presets.differences()
    if not differences:
        return
    click.echo(f"{layout.PARAMS} differs from what {layout.CONF}/ composes:")
    for key, (here, composed) in differences.items():
        click.echo(f"  {key}: {here}, not {composed}")
    click.echo(
        f"`dvc repro` takes {layout.PARAMS} as it is; plain `dvc exp run` would compose it anew.\n"
        "To keep the values, put them into conf/local/changes.yaml, give them with -S, or use\n"
        "`dvc exp run --no-hydra`; for a preset: `seedlings preset NAME`."
    )


def _side_by_side(metrics: Mapping[str, float]) -> Iterable[str]:
    """A column for each model, a row for each of its numbers."""
    yield f"{'':<20}" + "".join(f"{name:>12}" for name in summaries.models(metrics))
    for line in summaries.lines(metrics):
        cells = ["" if value is None else f"{value:.4f}" for value in line.values]
        title = "  " * line.is_end + line.title
        yield f"{title:<20}" + "".join(f"{cell:>12}" for cell in cells)


@cli.command("sync")
@click.option("--rev", metavar="REV", help="A commit, branch, tag or experiment.")
@click.option("--all", "everything", is_flag=True, help="All commits and experiments.")
@click.option("--models/--no-models", default=True, help="Log the models, too.")
def sync_command(rev: str | None, everything: bool, models: bool) -> None:
    """Bring MLflow up to what DVC knows: of the workspace, a revision, or all."""
    new, missing = sync.publish(_wanted(rev, everything), models=models)
    click.echo(f"MLflow at {tracking.uri()}: {new} new")
    for reason in missing:
        click.echo(f"not shown: {reason}", err=True)


def _wanted(rev: str | None, everything: bool) -> Iterable[states.State]:
    if everything:
        return states.every()
    return [states.at(rev) if rev else states.current()]


@cli.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", default=str(layout.PACKAGED), show_default=True, help=_MODEL)
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
def predict(paths: tuple[Path, ...], model: str, form: str | None) -> None:
    """Say what the model answers for images: files, or all files in folders.

    What is no image is named at the end, and the exit code is 1.
    """
    from seedlings import packages, predictions

    with _package(model) as package:
        table, bad = predictions.of_files(packages.Predictor(package), paths)
    click.echo(predictions.text(table, form), nl=False)
    if bad:
        raise SeedlingsError(f"no answer for {len(bad)} of what is there:\n  " + "\n  ".join(bad))


@cli.command()
@click.option("--model", default=None, help=_MODEL + _LAST)
@click.option("--port", default=5001, show_default=True, help="The port on 127.0.0.1.")
def serve(model: str | None, port: int) -> None:
    """Serve a model with MLflow, for this machine alone; the README has request and answer."""
    from seedlings import packages

    target = layout.home() / ".dvc" / "tmp" / "served"
    remove(target)
    with _package(model or _champion_or_last()) as package:
        packages.read(package)
        tracking.save_model(package, target)
    command = ["mlflow", "models", "serve", "--model-uri", str(target), "--env-manager", "local"]
    click.echo(f"{model or 'the model'} on http://127.0.0.1:{port}/invocations (Ctrl-C ends it)")
    os.execvp(command[0], [*command, "--port", str(port)])  # noqa: S606 - no shell


@cli.command()
@click.option("--model", default=None, help=_MODEL + _LAST)
@click.option("--port", default=8501, show_default=True, help="The port on 127.0.0.1.")
def demo(model: str | None, port: int) -> None:
    """Open a page to drop a picture on and see the model's answer; for this machine alone."""
    from seedlings import packages

    if importlib.util.find_spec("streamlit") is None:
        raise SeedlingsError("expected Streamlit, found none; `pip install streamlit` adds it")
    target = layout.home() / ".dvc" / "tmp" / "demo"
    remove(target)
    with _package(model or _champion_or_last()) as package:
        packages.read(package)
        shutil.copytree(package, target)
    script = Path(__file__).parent / "demo" / "__main__.py"
    command = ["streamlit", "run", str(script)]
    options = {**_DEMO, "server.port": str(port)}
    command += [f"--{key}={value}" for key, value in options.items()]
    click.echo(f"{model or 'the model'} on http://127.0.0.1:{port} (Ctrl-C ends it)")
    os.execvp(command[0], [*command, "--", str(target)])  # noqa: S606 - no shell


@cli.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Also where it is not better than the champion.")
@click.option(
    "--confidence",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="How sure that has to be.",
)
def promote(name: str, force: bool, confidence: float) -> None:
    """Make the model of NAME the champion, where it beats the present one on the same images.

    NAME is an experiment, a revision, a run in MLflow, or `workspace`.
    """
    from seedlings import champions

    promotion = champions.promote(name, confidence, force=force)
    click.echo(f"{champions.ADDRESS} is version {promotion.version} now: {promotion.reason}")


@contextmanager
def _package(model: str) -> Iterator[Path]:
    """The folder of a model: itself, or a copy from MLflow of a model or a run."""
    if Path(model).is_dir() or ("/" in model and ":/" not in model):
        yield Path(model)  # where there is none, whoever reads it says so
        return
    with tempfile.TemporaryDirectory() as folder:
        with tracking.reachable():
            package = tracking.Tracker().download_model(model, Path(folder))
        yield package


def _champion_or_last() -> str:
    from seedlings import champions

    with tracking.reachable():
        known = tracking.Tracker().champion()
    return champions.ADDRESS if known else str(layout.PACKAGED)


@cli.command()
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    default="comparison.html",
    show_default=True,
    help="Where to write the page with the pictures.",
)
def compare(names: tuple[str, ...], page: Path) -> None:
    """Tell what differs between NAMES: experiments, revisions, runs in MLflow, or `workspace`.

    One name alone is compared with the workspace.
    """
    from seedlings import comparisons  # pandas and SciPy, which other commands do without

    if len(names) == 1:
        names = (*names, comparisons.WORKSPACE)
    sides = [comparisons.side(name) for name in names]
    found = [comparisons.changes(sides[0], other) for other in sides[1:]]
    for title, rows in (
        ("Parameters", comparisons.differing(sides)),
        ("Metrics", comparisons.side_by_side(sides)),
    ):
        click.echo(f"\n{title} that differ:" if rows else f"\n{title}: none differs")
        for line in _columns({"": list(names), **rows} if rows else {}):
            click.echo(f"  {line}")
    for entry in found:
        click.echo(
            f"\nOf {entry.common} test images, {names[0]} → {entry.name}: {len(entry.better)} "
            f"better, {len(entry.worse)} worse; p = {entry.p_value:.2g}"
        )
        for how, changed in (("better", entry.better), ("worse", entry.worse)):
            for change in changed[:_SHOWN]:
                click.echo(f"  {how:<7} {change.path}: {change.before} → {change.after}")
    comparisons.write(sides, found, page)
    click.echo(f"\nThe images: {page}")


def _columns(rows: Mapping[str, Sequence[object]]) -> Iterable[str]:
    """Rows of texts under each other, each column as wide as it has to be."""
    texts = [[title, *map(str, values)] for title, values in rows.items()]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for text in texts:
        cells = [cell.ljust(width) for cell, width in zip(text, widths, strict=True)]
        yield "  ".join(cells).rstrip()


@cli.command()
@click.argument("path")
def runs(path: str) -> None:
    """Name the runs in MLflow that made PATH, or were given it by a cache."""
    for run in sync.runs_of(path, states.current()):
        how = "restored" if sync.RESTORED in run.tags else "made"
        click.echo(f"{run.id}  {run.name:<10} {how:<9} under {run.tags[tracking.PARENT]}")


@cli.command()
@click.option("--remote", default="origin", show_default=True, help="Git's remote.")
def share(remote: str) -> None:
    """Push what a team-mate needs: outputs, run cache, experiments."""
    sharing.share(remote)


@cli.command()
@click.option("--remote", default="origin", show_default=True, help="Git's remote.")
def fetch(remote: str) -> None:
    """Bring what a team-mate shared; `seedlings sync --all` then shows it in MLflow."""
    sharing.fetch(remote)


@cli.command()
def verify() -> None:
    """Rebuild the last commit in a clone; every byte has to be as dvc.lock says."""
    differences = verification.verify()
    if differences:
        raise SeedlingsError(
            "the rebuild differs from dvc.lock, first in " + "\n  then in ".join(differences)
        )
    click.echo("The rebuild gives the same bytes: its dvc.lock equals the committed one.")


@cli.command()
@click.option("--port", default=5000, show_default=True, help="The port on 127.0.0.1.")
def ui(port: int) -> None:
    """Open MLflow on this project's runs; it serves this machine alone."""
    _sync_what_can_be()
    with tracking.reachable():
        page = tracking.Tracker().page
    if tracking.uri().startswith(("http://", "https://")):
        click.echo(f"MLflow is at {tracking.uri()}/{page} (MLFLOW_TRACKING_URI)")
        return
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # processes for nothing
    command = ["mlflow", "ui", "--backend-store-uri", tracking.uri(), "--port", str(port)]
    click.echo(f"MLflow on http://127.0.0.1:{port}/{page} (Ctrl-C ends it)")
    os.execvp(command[0], command)  # noqa: S606 - replaces this process, no shell


def _sync_what_can_be() -> None:
    try:
        sync.publish([states.current()])
    except SeedlingsError as error:
        click.echo(f"not shown: {error}", err=True)


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
