"""The command `predict`: predictions for images, or their comparison with the validation images."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seedlings import processor
from seedlings.cli import packages
from seedlings.cluster import engine
from seedlings.config import paths
from seedlings.errors import SeedlingsError

if TYPE_CHECKING:
    from seedlings.serving.predictor import Predictor


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


COMMANDS = (predict,)
