"""Git: commits and experiments of the repository."""

import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from seedlings.errors import SeedlingsError
from seedlings.tracking.tags import COMMIT, DIRTY

# Other refs below refs/exps/ are internal to DVC.
_EXPERIMENT = re.compile("([0-9a-f]{40,64})[ \t]refs/exps/([0-9a-f]{2})/([0-9a-f]+)/([^/]+)")


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment of DVC. Its name is unique among the experiments of its baseline alone.

    `baseline` is the commit from which the experiment started, and `commit` its own.
    """

    name: str
    baseline: str
    commit: str
    is_unique: bool  # whether no other experiment of the repository has the name

    @property
    def ref(self) -> str:
        """Full name of the Git ref, which all commands of DVC accept."""
        return f"refs/exps/{self.baseline[:2]}/{self.baseline[2:]}/{self.name}"

    @property
    def title(self) -> str:
        """Name in messages; with the baseline if another experiment has the name."""
        return self.name if self.is_unique else f"{self.name} (baseline {self.baseline[:7]})"


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


def check_name(name: str, option: str) -> None:
    """Raise SeedlingsError if a name cannot be part of refs and paths; `option` is what has it."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise SeedlingsError(f"expected {option} of letters, digits, - and _, found {name!r}")


def experiments(remote: str = "") -> list[Experiment]:
    """Return DVC's experiments, sorted by baseline and name; two of them may have one commit.

    With `remote`, they are those of a Git remote. Raises SeedlingsError if it does not answer.
    """
    if remote:
        text = run("ls-remote", remote, "refs/exps/*")
    else:
        text = ask("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps/")
    found = [match.groups() for match in map(_EXPERIMENT.fullmatch, text.splitlines()) if match]
    names = Counter(name for _, _, _, name in found)
    return [
        Experiment(name, start + rest, commit, is_unique=names[name] == 1)
        for commit, start, rest, name in found
    ]


def commits_of(baseline: str) -> dict[str, str]:
    """Return the commits of the experiments that started from a commit, by their names."""
    return {found.name: found.commit for found in experiments() if found.baseline == baseline}
