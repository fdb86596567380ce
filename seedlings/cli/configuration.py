"""The command `preset`."""

import sys
from typing import Any

import click

from seedlings import presets
from seedlings.config import params, paths
from seedlings.errors import SeedlingsError


@click.command()
@click.argument("arguments", nargs=-1, metavar="[NAME] [GROUP=FILE ...] [KEY=VALUE ...]")
@click.option("--keep/--drop", "keep", default=None, help="Keep or drop the edits in params.yaml.")
def preset(arguments: tuple[str, ...], keep: bool | None) -> None:
    """Write params.yaml from a preset, or show its preset.

    NAME is a preset in conf/preset; GROUP=FILE selects another file of a group, such as
    model=resnet50; KEY=VALUE sets a parameter. Without arguments, show the arguments that
    params.yaml was composed from, the names of the presets, and the edits in params.yaml.
    """
    if not arguments:
        _show()
        return
    before, edited = _current(is_dropped=keep is False)
    if edited and keep is None:
        keep = _ask(edited)
    kept = {key: here for key, (here, _) in edited.items()} if keep else {}
    after = presets.write(arguments, kept)
    click.echo(f"{paths.PARAMS} is composed from: {after[presets.ORIGIN]}")
    for key, value in kept.items():
        click.echo(f"  kept      {key}: {value}")
    for key, (old, new) in presets.differences(before, after).items():
        click.echo(f"  changed   {key}: {old} -> {new}")
    for line in presets.missing(after):
        click.echo(line, err=True)
    if reason := presets.queue_fails():
        click.echo(reason, err=True)


def _show() -> None:
    tree = params.read()
    click.echo(f"{paths.PARAMS} is composed from: {presets.origin(tree)}")
    click.echo(f"presets: {', '.join(presets.names())}")
    for key, (here, composed) in presets.edits(tree).items():
        click.echo(f"  edited    {key}: {here} (composed: {composed})")


def _current(*, is_dropped: bool) -> tuple[dict[str, Any], presets.Differences]:
    """Return params.yaml and its edits; nothing if it is missing, or not valid and dropped."""
    if not paths.PARAMS.exists():
        return {}, {}
    try:
        tree = params.read()
        return tree, presets.edits(tree)
    except SeedlingsError as error:
        if is_dropped:
            return {}, {}
        raise SeedlingsError(
            f"{paths.PARAMS} cannot be compared with its `composed_from` ({error}); "
            "use --drop to replace the file"
        ) from error


def _ask(edited: presets.Differences) -> bool:
    """Ask the user whether to keep edits. Raises SeedlingsError if there is no terminal."""
    lines = [f"  {key}: {here} (composed: {composed})" for key, (here, composed) in edited.items()]
    message = f"{paths.PARAMS} was edited since it was composed:\n" + "\n".join(lines)
    if not sys.stdin.isatty():
        raise SeedlingsError(f"{message}\nuse --keep to keep these values, --drop to drop them")
    click.echo(message)
    return click.confirm("Keep these values?")


COMMANDS = (preset,)
