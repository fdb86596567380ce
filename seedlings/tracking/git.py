"""Git: commits and experiments of the repository."""

import subprocess
from pathlib import Path

from seedlings.errors import SeedlingsError
from seedlings.tracking.tags import COMMIT, DIRTY

_EXPERIMENTS = "refs/exps/"
_INNER = ("refs/exps/exec/", "refs/exps/celery/", "refs/exps/temp/")  # internal to DVC


def ask(*arguments: str) -> str:
    """Return the output of a git command, or "" if it fails, as it does outside a repository."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def run(*arguments: str, text: str | None = None, folder: Path | None = None) -> str:
    """Return the output of a git command that gets `text` as its standard input.

    Raises SeedlingsError with Git's message if it fails.
    """
    done = subprocess.run(
        ["git", *arguments], input=text, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SeedlingsError(f"`git {arguments[0]}` failed: {done.stderr.strip()}")
    return done.stdout.strip()


def tags() -> dict[str, str]:
    """Return tags for a run: the current commit, and whether tracked files differ from it."""
    commit = ask("rev-parse", "HEAD")
    if not commit:
        return {}
    dirty = bool(ask("status", "--porcelain", "--untracked-files=no"))
    return {COMMIT: commit, DIRTY: str(dirty).lower()}


def experiments() -> dict[str, str]:
    """Return the names of DVC's experiments by their commits."""
    return {commit: name for name, commit in named_experiments().items()}


def named_experiments() -> dict[str, str]:
    """Return the commits of DVC's experiments by their names; two of them may have one commit."""
    lines = ask("for-each-ref", "--format=%(objectname) %(refname)", _EXPERIMENTS).splitlines()
    pairs = [line.split(" ", 1) for line in lines]
    return {ref.rsplit("/", 1)[1]: commit for commit, ref in pairs if not ref.startswith(_INNER)}
