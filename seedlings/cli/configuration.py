"""Commands of the configuration: preset."""

import sys

import click

from seedlings.cli import presets
from seedlings.config import paths
from seedlings.errors import SeedlingsError


@click.command()
@click.argument("arguments", nargs=-1, metavar="[NAME] [GROUP=FILE ...] [KEY=VALUE ...]")
@click.option("--keep/--drop", "keep", default=None, help="Keep or drop edits in params.yaml.")
def preset(arguments: tuple[str, ...], keep: bool | None) -> None:
    """Write params.yaml from the preset NAME of conf/, with some changes.

    GROUP=FILE takes another file of a group, KEY=VALUE sets a parameter. Without a NAME: show where
    params.yaml comes from, and what was edited since.
    """
    if not arguments:
        _show()
        return
    edited = _edited(needed=keep is not False)
    if edited and keep is None:
        keep = _ask(edited)
    kept = {key: here for key, (here, _) in edited.items()} if keep else {}
    differences = presets.write(arguments, kept)
    click.echo(f"{paths.PARAMS} is composed from: {' '.join(arguments)}")
    for key, value in kept.items():
        click.echo(f"  kept      {key}: {value}")
    for key, (before, after) in differences.items():
        click.echo(f"  changed   {key}: {before} -> {after}")


def _show() -> None:
    from seedlings.config import params

    click.echo(f"{paths.PARAMS} is composed from: {params.read().get(presets.ORIGIN)}")
    click.echo(f"presets: {', '.join(presets.names())}")
    for key, (here, composed) in presets.edits().items():
        click.echo(f"  edited    {key}: {here} (composed: {composed})")


def _edited(*, needed: bool) -> presets.Differences:
    """Return the edits in params.yaml; none where it is missing, or they are to be dropped anyway."""
    if not needed or not paths.PARAMS.exists():
        return {}
    try:
        return presets.edits()
    except SeedlingsError as error:
        raise SeedlingsError(
            f"{paths.PARAMS} cannot be compared with what it was composed from ({error}); "
            "use --drop to replace all of it"
        ) from error


def _ask(edited: presets.Differences) -> bool:
    """Ask whether edits are kept. Raises SeedlingsError where nobody can answer."""
    lines = [f"  {key}: {here} (composed: {composed})" for key, (here, composed) in edited.items()]
    told = f"{paths.PARAMS} was edited since it was composed:\n" + "\n".join(lines)
    if not sys.stdin.isatty():
        raise SeedlingsError(f"{told}\nuse --keep to keep these values, --drop to drop them")
    click.echo(told)
    return click.confirm("Keep these values?")


COMMANDS = (preset,)
