"""The command `export`, which takes a packaged model out of the pipeline."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seedlings import processor
from seedlings.cli import packages
from seedlings.config import paths
from seedlings.errors import SeedlingsError
from seedlings.exports.runtimes import RUNTIMES

if TYPE_CHECKING:
    from seedlings.exports.folder import Origin

_TARGET = Path("exports")


@click.command()
@click.option(
    "--format",
    "name",
    type=click.Choice(list(RUNTIMES)),
    required=True,
    help="The format of the network, and so its runtime.",
)
@click.option("--model", default=str(paths.PACKAGED), show_default=True, help=packages.MODEL)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write.  [default: exports/FORMAT]",
)
@click.option(
    "--images",
    type=click.Path(exists=True, path_type=Path),
    help="Images to compare the answers on.  [default: the test images]",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0.0, 0.1),
    default=1e-5,
    show_default=True,
    help="The largest difference of a probability; for numbers, as a share of their range.",
)
def export(
    name: str, model: str, output: Path | None, images: Path | None, tolerance: float
) -> None:
    """Write a model as a folder that predicts without Seedlings.

    The folder has the network in a format, its preprocessing, and a script that predicts. It is
    written only if it answers as the packaged model does, to within --tolerance, for every test
    image.
    """
    from seedlings.exports import files, folder
    from seedlings.packaging import bundle

    processor.pin()
    target = output or _TARGET / name
    with packages.package_of(model) as package:
        processor.use(portable=bundle.read(package).portable)
        chosen = files.at([str(images)]) if images else files.of_tests()
        found = folder.write(
            package, name, target, files=chosen, origin=_origin(model), limit=tolerance
        )
    click.echo(
        f"{target}: compared on {found.images} images, largest difference of an output "
        f"{found.output:.1e}"
    )


def _origin(model: str) -> "Origin":
    """Return the digest of the dvc.lock that a model is of, if it is known, and its model card."""
    from seedlings.exports.folder import Origin
    from seedlings.tracking import client, registry, revisions

    if not packages.is_folder(model):
        with client.reachable():
            return Origin(registry.lock_of(model), registry.card_of(model))
    if Path(model) != paths.PACKAGED or not paths.LOCK.is_file():
        return Origin()
    try:
        lock = revisions.current().digest
    except SeedlingsError as error:
        click.echo(f"the export names no dvc.lock and has no model card: {error}", err=True)
        return Origin()
    return Origin(lock, paths.MODEL_CARD.read_text(encoding="utf-8"))


COMMANDS = (export,)
