"""The commands `predict`, `serve`, `demo` and `promote`, for the packaged model."""

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seedlings import processor
from seedlings.cli import packages, pages
from seedlings.cluster import engine
from seedlings.config import paths
from seedlings.errors import SeedlingsError

if TYPE_CHECKING:
    from seedlings.serving.predictor import Predictor

_SERVERS = Path(".dvc/tmp/servers")


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--model", default=str(paths.PACKAGED), show_default=True, help=packages.MODEL)
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@click.option("--output", help="A new folder for a Parquet data set, local or of fsspec.")
@click.option("--overwrite", is_flag=True, help="Replace the answers in --output.")
@click.option(
    "--engine",
    type=click.Choice(["litert", "tensorflow"]),
    help="What runs the network.  [default: litert if it is installed, except for --output]",
)
@click.option("--check", is_flag=True, help="Compare the images with those of validation.")
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    default="check.html",
    show_default=True,
    help="The HTML file of --check.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["shift", "features", "confidence", "classes", "out-of-distribution"]),
    help="With --check, exit with 1 if any test finds a difference (shift), or that one.",
)
def predict(
    files: tuple[str, ...],
    model: str,
    form: str | None,
    output: str | None,
    overwrite: bool,
    engine: str | None,
    check: bool,
    page: Path,
    fail_on: str | None,
) -> None:
    """Predict the classes, tags or numbers of images.

    FILES are image files, folders with image files, or addresses of fsspec such as
    s3://bucket/images. Files that are not images are listed at the end, and the exit code is 1.

    With --output, answers for any number of files are written as a Parquet data set, in parts. The
    same command resumes a run that was killed. Files that are not images have a row with `error`.

    With --check, the images are compared with the validation images of the model, in numbers and in
    a page, and no predictions are printed.
    """
    if check and (output or form == "csv"):
        raise click.UsageError("--check prints a summary, or JSON with --json, and writes a page")
    if fail_on and not check:
        raise click.UsageError("--fail-on is for --check, which is missing")
    if output and form:
        raise click.UsageError("--output writes Parquet; use it without --json and --csv")
    if overwrite and not output:
        raise click.UsageError("--overwrite replaces the answers in --output, which is missing")
    if output and output.lower().endswith((".csv", ".json")):
        raise click.UsageError(
            f"--output writes a Parquet data set, a folder, not {output}; print CSV or JSON with "
            "--csv or --json, and redirect it to a file"
        )
    from seedlings.packaging import bundle
    from seedlings.serving import addresses

    processor.pin()  # as for most bundles: MLflow imports NumPy before this one is known
    addresses.check(map(addresses.normalized, files))  # before seconds of imports
    with packages.package_of(model) as package:
        processor.use(portable=bundle.read(package).portable)
        click.echo(f"model: {packages.described(model)}", err=True)
        if check:
            _check(files, package, page, as_json=form == "json", fail_on=fail_on)
        elif output:
            _predict_all(files, package, output, overwrite=overwrite)
        else:
            _predict(files, package, form, engine)


def _predict(files: tuple[str, ...], package: Path, form: str | None, wanted: str | None) -> None:
    from seedlings.serving import predictions

    predictor = _predictor(files, package, wanted)
    table, bad = predictions.of_files(predictor, files)
    if form == "json":
        table["engine"] = predictor.engine
    click.echo(predictions.text(table, form), nl=False)
    if bad:
        raise SeedlingsError(f"no prediction for {len(bad)} of the files:\n  " + "\n  ".join(bad))


def _predictor(files: tuple[str, ...], package: Path, wanted: str | None) -> "Predictor":
    """Return the predictor with an engine; by default the fastest that is installed."""
    from seedlings.exports import cached
    from seedlings.exports.files import of_tests_or_first
    from seedlings.serving.predictor import Predictor

    if wanted == "tensorflow" or not (wanted or cached.is_installed()):
        return Predictor(package)
    try:
        return Predictor(
            package, (cached.network(package, of_tests_or_first(files)), cached.FORMAT)
        )
    except (SeedlingsError, OSError) as error:
        if wanted:
            raise
        if not isinstance(error, cached.NotEqualError):  # which was told at the first use
            click.echo(f"TensorFlow answers, as there is no export: {error}", err=True)
        return Predictor(package)


def _check(
    files: tuple[str, ...], package: Path, page: Path, *, as_json: bool, fail_on: str | None
) -> None:
    from seedlings.shift import command, comparison
    from seedlings.shift import page as pages_

    new, found, bad, predictor = command.check(package, files)
    pages_.write(found, new, predictor, page)
    if as_json:
        click.echo(json.dumps(found.as_json() | {"skipped": bad}, indent=2, ensure_ascii=False))
    else:
        for line in pages_.lines(found):
            click.echo(line)
        click.echo(f"page: {page}")
    if bad:
        click.echo(f"no image in {len(bad)} of the files:\n  " + "\n  ".join(bad), err=True)
    rejected = {test.name for test in found.tests if test.rejects}
    if (fail_on == "shift" and rejected) or fail_on in rejected:
        raise SeedlingsError(
            f"--fail-on {fail_on}: expected images like those of validation, found a difference of "
            f"{', '.join(sorted(rejected))} (p < {comparison.LEVEL:g})"
        )


def _predict_all(files: tuple[str, ...], package: Path, output: str, *, overwrite: bool) -> None:
    from seedlings.serving import bulk

    done = bulk.predict(package, files, output, engine=engine.choose(), overwrite=overwrite)
    files_ = f"{done.files:,} file{'s' if done.files > 1 else ''}"
    click.echo(
        f"{files_}, {done.errors:,} without a prediction, "
        f"{done.images_per_second:.1f} images/s, in {output}"
    )
    if done.errors:
        raise SeedlingsError(
            f"no prediction for {done.errors:,} of the {done.files:,} files; the column `error` "
            f"of {output} has the reasons:\n  " + "\n  ".join(done.first_errors)
        )


@click.command()
@click.option("--model", default=None, help=packages.MODEL + packages.LAST)
@click.option("--port", type=pages.PORT, default=5001, show_default=True, help="The port.")
@click.option("--http", "is_http", is_flag=True, help="Take files and bytes, without MLflow.")
@click.option("--host", help="With --http, the address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=NUMBER",
    help="With --http, a limit of requests, such as images=100; docs/serving.md lists them.",
)
def serve(
    model: str | None, port: int, is_http: bool, host: str | None, limits: tuple[str, ...]
) -> None:
    """Serve a model over HTTP, for people with --http, or with MLflow.

    The server listens on 127.0.0.1 only, unless --host names another address; docs/serving.md shows
    requests and their responses.
    """
    if (host or limits) and not is_http:
        raise click.UsageError("--host and --limit are for --http, which is missing")
    from seedlings.cli import http
    from seedlings.serving import model_folder

    address = host or "127.0.0.1"
    if is_http:
        http.check(address, port, limits)
    else:
        pages.check_port(port)
    with model_folder.create(paths.home() / _SERVERS) as folder:
        chosen = model or packages.champion_or_last()
        if is_http:
            http.serve(chosen, folder / "model", host=address, port=port, limits=limits)
        else:
            _serve_with_mlflow(chosen, folder / "model", port)


def _serve_with_mlflow(model: str, target: Path, port: int) -> None:
    from seedlings.packaging import bundle
    from seedlings.tracking import client

    with packages.package_of(model) as package:
        portable = bundle.read(package).portable
        client.save_model(package, target)
    click.echo(f"model: {packages.described(model)}")
    click.echo(f"server: http://127.0.0.1:{port}/invocations (stop with Ctrl-C)")
    command = ["mlflow", "models", "serve", "--model-uri", str(target), "--env-manager", "local"]
    environment = processor.environment(portable=portable)
    os.execvpe(command[0], [*command, "--port", str(port)], environment)  # noqa: S606 - no shell


@click.command()
@click.option("--model", default=None, help=packages.MODEL + packages.LAST)
@click.option(
    "--port", type=pages.PORT, default=8501, show_default=True, help="The port on 127.0.0.1."
)
def demo(model: str | None, port: int) -> None:
    """Show the predictions for your images in a web page.

    The server listens on 127.0.0.1 only.
    """
    from seedlings.packaging import bundle
    from seedlings.serving import model_folder

    pages.check(port)
    script = Path(__file__).parents[1] / "serving" / "demo_page.py"
    with model_folder.create(paths.home() / _SERVERS) as folder:
        target = folder / "model"
        chosen = model or packages.champion_or_last()
        with packages.package_of(chosen) as package:
            portable = bundle.read(package).portable
            shutil.copytree(package, target)
        click.echo(f"model: {packages.described(chosen)}")
        pages.serve(script, port, str(target), portable=portable)


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


COMMANDS = (predict, serve, demo, promote)
