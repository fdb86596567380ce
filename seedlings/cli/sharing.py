"""The commands `push`, `pull` and `verify`."""

import click

from seedlings import processor
from seedlings.errors import SeedlingsError


@click.command()
@click.option("--remote", default="origin", show_default=True, help="Git's remote.")
@click.option("--all-commits", is_flag=True, help="Also push the outputs of all commits.")
def push(remote: str, all_commits: bool) -> None:
    """Push outputs, run cache and experiments.

    Outputs go to the DVC remote, experiments to the Git remote. The outputs are those of the
    workspace and of all experiments.
    """
    from seedlings.tracking import sharing

    sharing.push(remote, all_commits=all_commits)


@click.command()
@click.option("--remote", default="origin", show_default=True, help="Git's remote.")
@click.option("--all-commits", is_flag=True, help="Also pull the outputs of all commits.")
def pull(remote: str, all_commits: bool) -> None:
    """Pull outputs, run cache and experiments.

    Outputs come from the DVC remote, experiments from the Git remote. Run `seedlings sync --all`
    afterwards to log them in MLflow.
    """
    from seedlings.tracking import sharing

    sharing.pull(remote, all_commits=all_commits)


@click.command()
@click.option("--exact", is_flag=True, help="Accept the same bytes alone.")
def verify(exact: bool) -> None:
    """Rebuild the last commit in a clone and compare all outputs.

    There are two answers with exit code 0: every file has the bytes that dvc.lock records; or all
    but those that are named, and the metrics differ by no more than one evaluated image can change
    them.
    With --exact, the second answer is an error, too.
    """
    from seedlings.tracking import revisions, verification

    revision = revisions.at("HEAD")
    portable = str(revision.params.get("portable", False)).lower()
    click.echo(f"The rebuild runs on {processor.name()}, with `portable: {portable}`.")
    found = verification.verify(revision)
    if not found.differing:
        click.echo("The rebuild gives the same bytes: its dvc.lock equals the committed one.")
        return
    agreement = found.agreement
    if exact or agreement.disagreeing:
        raise SeedlingsError(
            "the rebuild differs from dvc.lock, first in "
            + "\n  then in ".join(found.differing)
            + "".join(f"\n  and {line}" for line in agreement.disagreeing)
        )
    click.echo(
        f"The rebuild gives the same bytes but for {len(found.differing)} of {found.outputs} "
        f"outputs, and its metrics agree within {agreement.bound}:"
    )
    for line in (*found.differing, *agreement.lines):
        click.echo(f"  {line}")


COMMANDS = (push, pull, verify)
