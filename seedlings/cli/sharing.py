"""Commands that share and verify results: push, pull, verify."""

import click

from seedlings.errors import SeedlingsError
from seedlings.tracking import sharing, verification


@click.command()
@click.option("--remote", default="origin", show_default=True, help="Git's remote.")
def push(remote: str) -> None:
    """Push outputs, run cache and experiments for team-mates."""
    sharing.push(remote)


@click.command()
@click.option("--remote", default="origin", show_default=True, help="Git's remote.")
def pull(remote: str) -> None:
    """Pull what a team-mate pushed; `seedlings sync --all` then logs it in MLflow."""
    sharing.pull(remote)


@click.command()
def verify() -> None:
    """Rebuild the last commit in a clone; every byte has to be as dvc.lock says."""
    differences = verification.verify()
    if differences:
        raise SeedlingsError(
            "the rebuild differs from dvc.lock, first in " + "\n  then in ".join(differences)
        )
    click.echo("The rebuild gives the same bytes: its dvc.lock equals the committed one.")


COMMANDS = (push, pull, verify)
