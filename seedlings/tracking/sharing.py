"""Sharing: push and pull results with DVC's own commands."""

import subprocess

import click

from seedlings.errors import SeedlingsError
from seedlings.tracking import git


def push(remote: str) -> None:
    """Push the outputs and the run cache to the DVC remote, and all experiments to a Git remote.

    Raises SeedlingsError if there is no such remote, or if a command fails.
    """
    _check(remote)
    _run("dvc", "push", "--run-cache")
    if git.experiments():
        _run("dvc", "exp", "push", "--all-commits", remote)


def pull(remote: str) -> None:
    """Pull what `push` pushed: outputs, run cache, and all experiments with their outputs.

    Raises SeedlingsError as `push` does.
    """
    _check(remote)
    _run("dvc", "pull", "--run-cache")
    if git.ask("ls-remote", remote, "refs/exps/*"):
        _run("dvc", "exp", "pull", "--all-commits", remote)


def _check(remote: str) -> None:
    if remote not in git.ask("remote").split():
        raise SeedlingsError(
            f"expected a Git remote named {remote!r}, found none; "
            "add it with `git remote add`, or name another with --remote"
        )
    listed = subprocess.run(["dvc", "remote", "list"], capture_output=True, text=True, check=False)
    if not listed.stdout.strip():
        raise SeedlingsError(
            "expected a DVC remote, found none; add one with `dvc remote add --default`, "
            "see docs/sharing.md"
        )


def _run(*command: str) -> None:
    line = " ".join(command)
    click.echo(f"> {line}")
    if subprocess.run(command, check=False).returncode:
        raise SeedlingsError(f"`{line}` failed; see its output above")
