"""The command `review`, for the labels of images."""

from pathlib import Path

import click

from seedlings.cli import pages
from seedlings.config import paths


@click.command()
@click.option(
    "--port", type=pages.PORT, default=8502, show_default=True, help="The port on 127.0.0.1."
)
def review(port: int) -> None:
    """Decide about doubtful labels, mistakes and near duplicates in a web page.

    Each decision is saved in data/corrections.csv, which `dvc repro` applies. The server listens on
    127.0.0.1 only.
    """
    pages.check(port)
    from seedlings.packaging import bundle
    from seedlings.review import inputs

    inputs.version()  # raises if there are no results
    portable = bundle.read(paths.PACKAGED).portable
    script = Path(__file__).parents[1] / "review" / "review_page.py"
    pages.serve(script, port, portable=portable)


COMMANDS = (review,)
