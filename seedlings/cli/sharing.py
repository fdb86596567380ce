"""The commands `push`, `pull` and `verify`."""

import click

from seedlings.errors import SeedlingsError


@click.command()
@click.option("--remote", default="origin", show_default=True, help="Git's remote.")
def push(remote: str) -> None:
    """Push outputs, run cache and experiments.

    Outputs go to the DVC remote, experiments to the Git remote.
    """
    from seedlings.tracking import sharing

    sharing.push(remote)


@click.command()
@click.option("--remote", default="origin", show_default=True, help="Git's remote.")
def pull(remote: str) -> None:
    """Pull outputs, run cache and experiments.

    Outputs come from the DVC remote, experiments from the Git remote. Run `seedlings sync --all`
    afterwards to log them in MLflow.
    """
    from seedlings.tracking import sharing

    sharing.pull(remote)


@click.command()
def verify() -> None:
    """Rebuild the last commit in a clone and compare all outputs.

    Every file must have the bytes that dvc.lock records; otherwise the exit code is 1.
    """
    from seedlings.tracking import verification

    differences = verification.verify()
    if differences:
        raise SeedlingsError(
            "the rebuild differs from dvc.lock, first in " + "\n  then in ".join(differences)
        )
    click.echo("The rebuild gives the same bytes: its dvc.lock equals the committed one.")


COMMANDS = (push, pull, verify)
