"""Refs of a search: its origin and its trials, as texts in Git under refs/searches/NAME/.

A ref is written in one step, so that a kill leaves the text before or the text after. Git keeps
them with the experiments; `git push origin 'refs/searches/*'` shares them.
"""

from seedlings.tracking import git

_ROOT = "refs/searches"


def read(search: str) -> dict[str, str]:
    """Return the texts of a search by their names; none if there is no such search."""
    prefix = f"{_ROOT}/{search}/"
    lines = git.run("for-each-ref", "--format=%(refname) %(objectname)", prefix).splitlines()
    pairs = (line.split() for line in lines)
    return {ref.removeprefix(prefix): git.run("cat-file", "blob", blob) for ref, blob in pairs}


def write(search: str, name: str, text: str) -> None:
    """Write a text. Raises SeedlingsError if Git cannot, as with a full disk."""
    blob = git.run("hash-object", "-w", "--stdin", text=text)
    git.run("update-ref", f"{_ROOT}/{search}/{name}", blob)


def remove(search: str, name: str) -> None:
    """Remove a text, if there is one."""
    git.run("update-ref", "-d", f"{_ROOT}/{search}/{name}")
