"""Sharing: push and pull results, so that a team-mate restores experiments and runs no stage."""

import subprocess
from collections.abc import Iterable, Mapping, Sequence

import click
from dvc.repo import Repo, lock_repo
from scmrepo.git.backend.base import SyncStatus

from seedlings.errors import SeedlingsError
from seedlings.io import progress
from seedlings.tracking import git, outputs, revisions
from seedlings.tracking.git import Experiment
from seedlings.tracking.outputs import WORKSPACE


def push(remote: str, *, all_commits: bool = False) -> None:
    """Push outputs and the run cache to the DVC remote, and experiments to a Git remote.

    The outputs are those of the workspace, of all experiments, and with `all_commits` of all
    commits. An experiment is pushed if the DVC remote has all of its outputs. Raises SeedlingsError
    if there is no such remote, if a command fails, and, after the rest is pushed, if outputs are
    missing or the Git remote has another experiment in place of one.
    """
    with outputs.repository() as repo:
        _check(repo, remote)
        _run("dvc", "push", "--run-cache")
        experiments = git.experiments()
        names = {WORKSPACE: WORKSPACE, **_names(experiments, all_commits=all_commits)}
        whole, problems = _copy(repo, names, push=True)
        _note_config(repo, experiments)
        others = _copy_refs(repo, remote, [e for e in experiments if e.commit in whole], push=True)
    for other in others:
        replace = f"`dvc exp push --force {remote} {other.ref}` replaces it"
        problems.append(f"{_another(other, remote)}; {replace}, `dvc exp rename` keeps both")
    _raise(
        problems,
        "not everything was pushed",
        "A failed upload is named above. If DVC's cache does not have an output either, "
        "`dvc exp apply NAME` and `dvc repro` make it again, and `dvc exp remove NAME` removes the "
        "experiment; then push again.",
    )


def pull(remote: str, *, all_commits: bool = False) -> None:
    """Pull what `push` pushed: outputs, run cache, and all experiments with their outputs.

    Raises SeedlingsError as `push` does.
    """
    problems = []
    with outputs.repository() as repo:
        _check(repo, remote)
        try:
            _run("dvc", "pull", "--run-cache")
        except SeedlingsError as error:
            problems.append(str(error))
        theirs = git.experiments(remote)
        others = _copy_refs(repo, remote, theirs, push=False)
        for other in others:
            replace = f"`dvc exp pull --force {remote} {other.ref}` replaces the one here"
            click.echo(f"{_another(other, remote)}; {replace}", err=True)
        same = {experiment.ref for experiment in theirs} - {other.ref for other in others}
        experiments = [own for own in git.experiments() if own.ref in same]
        problems += _copy(repo, _names(experiments, all_commits=all_commits), push=False)[1]
        _note_config(repo, experiments)
    option = " --all-commits" if all_commits else ""
    _raise(
        problems,
        "not everything was pulled",
        f"Run `seedlings push{option}` where the results were made, and then pull again.",
    )


def _names(experiments: Iterable[Experiment], *, all_commits: bool) -> dict[str, str]:
    """Return the commits of experiments, or of everything, with their names in messages."""
    names = {experiment.commit: experiment.title for experiment in experiments}
    every = revisions.every() if all_commits else ()
    return names | {found.commit: found.name for found in every if found.commit not in names}


def _copy(repo: Repo, names: Mapping[str, str], *, push: bool) -> tuple[set[str], list[str]]:
    """Copy the outputs of commits; return the complete commits, and what the others lack."""
    found, problems = {}, []
    with lock_repo(repo):
        for commit, name in progress.bar(names.items(), "read", unit="commit"):
            try:
                found[commit] = outputs.read(repo, commit)
            except SeedlingsError as error:
                problems.append(f"{name}: {error}")
        every = [output for part in found.values() for output in part]
        count, missing = outputs.copy(repo, every, push=push)
    remote, files = outputs.default_remote(repo), "file" if count == 1 else "files"
    click.echo(f"DVC remote {remote}: {count} more {files} {'pushed' if push else 'pulled'}")
    whole = set()
    for commit, part in found.items():
        paths = [output.path for output in part if not missing.isdisjoint(output.files)]
        if paths:
            lacks = f"the DVC remote {remote} does not have all of {', '.join(paths)}"
            problems.append(f"{names[commit]}: {lacks}")
        else:
            whole.add(commit)
    return whole, problems


def _copy_refs(
    repo: Repo, remote: str, experiments: Sequence[Experiment], *, push: bool
) -> list[Experiment]:
    """Copy experiments to or from a Git remote; return those with another commit at the target."""
    copy = repo.scm.push_refspecs if push else repo.scm.fetch_refspecs
    found = copy(remote, [f"{experiment.ref}:{experiment.ref}" for experiment in experiments])
    new = [e.title for e in experiments if found[e.ref] is SyncStatus.SUCCESS]
    if experiments:
        click.echo(
            f"Git remote {remote}: {'pushed' if push else 'pulled'} "
            f"{', '.join(new) or 'no new experiment'}; {len(experiments) - len(new)} there before"
        )
    return [e for e in experiments if found[e.ref] is SyncStatus.DIVERGED]


def _another(experiment: Experiment, remote: str) -> str:
    return f"{experiment.title}: the Git remote {remote} has another experiment with this name"


def _note_config(repo: Repo, experiments: Iterable[Experiment]) -> None:
    """Print which experiments have another .dvc/config than HEAD, if the remote is in that."""
    name, here = outputs.default_remote(repo), git.ask("show", "HEAD:.dvc/config")
    others = [e.title for e in experiments if git.ask("show", f"{e.commit}:.dvc/config") != here]
    if f'remote "{name}"' in here and others:
        click.echo(
            f"The .dvc/config of {', '.join(others)} does not have the remote {name} as HEAD has "
            "it: after `dvc exp apply`, run `git checkout HEAD -- .dvc/config`"
        )


def _raise(problems: Sequence[str], what: str, advice: str) -> None:
    if problems:
        raise SeedlingsError("\n  ".join([f"{what}:", *problems]) + f"\n{advice}")


def _check(repo: Repo, remote: str) -> None:
    if remote not in git.ask("remote").split():
        raise SeedlingsError(
            f"expected a Git remote named {remote!r}, found none; "
            "add it with `git remote add`, or name another with --remote"
        )
    if not outputs.default_remote(repo):
        raise SeedlingsError(
            "expected a default DVC remote, found none; add one with `dvc remote add --default`, "
            "see docs/sharing.md"
        )


def _run(*command: str) -> None:
    line = " ".join(command)
    click.echo(f"> {line}")
    if subprocess.run(command, check=False).returncode:
        raise SeedlingsError(f"`{line}` failed; see its output above")
