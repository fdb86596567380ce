"""Sharing: push and pull results, so that a team-mate restores experiments and runs no stage."""

import subprocess
from collections.abc import Iterable, Mapping, Sequence

import click
from dvc_data.hashfile.hash_info import HashInfo

from seedlings.errors import SeedlingsError
from seedlings.io import progress
from seedlings.tracking import git, outputs, revisions
from seedlings.tracking.git import Experiment
from seedlings.tracking.outputs import WORKSPACE, Output, Storage

_Found = Mapping[str, Sequence[Output]]  # the outputs of commits
_Names = Mapping[str, str]  # of commits, in messages


def push(remote: str, *, all_commits: bool = False) -> None:
    """Push outputs and the run cache to the DVC remote, and experiments to a Git remote.

    The outputs are those of the workspace, of all experiments, and with `all_commits` of all
    commits. An experiment is pushed if the DVC remote has all of its outputs. Raises SeedlingsError
    if there is no such remote, if a command fails, and, after the rest is pushed, if outputs are
    missing or the Git remote has another experiment in place of one.
    """
    _check(remote)
    _run("dvc", "push", "--run-cache")
    experiments = git.experiments()
    names = {WORKSPACE: WORKSPACE, **_names(experiments, all_commits=all_commits)}
    with outputs.opened() as storage:
        found, problems = _read(storage, names)
        count, lacking = storage.push(_all(found))
        click.echo(f"DVC remote {storage.name}: {_files(count)} pushed")
        incomplete = _incomplete(found, lacking)
        problems += _lines(incomplete, names, storage.name)
        _note_remotes(storage, experiments)
    whole = [e for e in experiments if e.commit in found and e.commit not in incomplete]
    problems += _push_refs(remote, whole)
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
    _check(remote)
    problems = []
    try:
        _run("dvc", "pull", "--run-cache")
    except SeedlingsError as error:
        problems.append(str(error))
    experiments = _pull_refs(remote)
    names = _names(experiments, all_commits=all_commits)
    if names:
        with outputs.opened() as storage:
            found, unread = _read(storage, names)
            count, lacking = storage.pull(_all(found))
            click.echo(f"DVC remote {storage.name}: {_files(count)} pulled")
            problems += unread + _lines(_incomplete(found, lacking), names, storage.name)
            _note_remotes(storage, experiments)
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


def _read(storage: Storage, names: _Names) -> tuple[dict[str, list[Output]], list[str]]:
    """Return the outputs of commits, and why those of some are not known."""
    found, problems = {}, []
    for commit, name in progress.bar(names.items(), "read", unit="commit"):
        try:
            found[commit] = storage.read(commit)
        except SeedlingsError as error:
            problems.append(f"{name}: {error}")
    return found, problems


def _all(found: _Found) -> list[Output]:
    return [output for part in found.values() for output in part]


def _incomplete(found: _Found, lacking: set[HashInfo]) -> dict[str, list[str]]:
    """Return the paths of the outputs that lack a file, by their commits."""
    incomplete = {}
    for commit, part in found.items():
        paths = [output.path for output in part if not lacking.isdisjoint(output.files)]
        if paths:
            incomplete[commit] = paths
    return incomplete


def _lines(incomplete: Mapping[str, list[str]], names: _Names, remote: str) -> list[str]:
    return [
        f"{names[commit]}: the DVC remote {remote} does not have all of {', '.join(paths)}"
        for commit, paths in incomplete.items()
    ]


def _note_remotes(storage: Storage, experiments: Iterable[Experiment]) -> None:
    """Tell which experiments bring another .dvc/config with them."""
    others = [e.title for e in experiments if not storage.has_same_remote(e.commit)]
    if others:
        click.echo(
            f"The .dvc/config of {', '.join(others)} does not have the remote {storage.name}: "
            "after `dvc exp apply`, run `git checkout HEAD -- .dvc/config`"
        )


def _push_refs(remote: str, experiments: Sequence[Experiment]) -> list[str]:
    """Push experiments to a Git remote; return those that it has with another commit."""
    theirs = {other.ref: other.commit for other in git.experiments(remote)}
    new = [experiment for experiment in experiments if experiment.ref not in theirs]
    if new:
        git.run("push", "--quiet", remote, *(f"{e.ref}:{e.ref}" for e in new))
    if experiments:
        click.echo(_told(remote, new, "pushed", len(experiments) - len(new)))
    return [
        f"{e.title}: the Git remote {remote} has another experiment with this name; "
        f"`dvc exp push --force {remote} {e.ref}` replaces it, `dvc exp rename` keeps both"
        for e in experiments
        if theirs.get(e.ref, e.commit) != e.commit
    ]


def _pull_refs(remote: str) -> list[Experiment]:
    """Pull the experiments of a Git remote, and return those that are the same here and there."""
    theirs = git.experiments(remote)
    known = {own.ref for own in git.experiments()}
    new = [experiment for experiment in theirs if experiment.ref not in known]
    if new:
        git.run("fetch", "--quiet", "--no-tags", remote, *(f"{e.ref}:{e.ref}" for e in new))
    if theirs:
        click.echo(_told(remote, new, "pulled", len(theirs) - len(new)))
    commits = {other.ref: other.commit for other in theirs}
    own = [experiment for experiment in git.experiments() if experiment.ref in commits]
    for experiment in own:
        if experiment.commit != commits[experiment.ref]:
            click.echo(
                f"{experiment.title}: the Git remote {remote} has another experiment with this "
                f"name; `dvc exp pull --force {remote} {experiment.ref}` replaces the one here",
                err=True,
            )
    return [experiment for experiment in own if experiment.commit == commits[experiment.ref]]


def _files(count: int) -> str:
    return f"{count} more {'file' if count == 1 else 'files'}"


def _told(remote: str, new: Sequence[Experiment], done: str, others: int) -> str:
    names = ", ".join(experiment.title for experiment in new)
    return f"Git remote {remote}: {done} {names or 'no new experiment'}; {others} there before"


def _raise(problems: Sequence[str], what: str, advice: str) -> None:
    if problems:
        raise SeedlingsError("\n  ".join([f"{what}:", *problems]) + f"\n{advice}")


def _check(remote: str) -> None:
    if remote not in git.ask("remote").split():
        raise SeedlingsError(
            f"expected a Git remote named {remote!r}, found none; "
            "add it with `git remote add`, or name another with --remote"
        )
    if not outputs.default_remote():
        raise SeedlingsError(
            "expected a default DVC remote, found none; add one with `dvc remote add --default`, "
            "see docs/sharing.md"
        )


def _run(*command: str) -> None:
    line = " ".join(command)
    click.echo(f"> {line}")
    if subprocess.run(command, check=False).returncode:
        raise SeedlingsError(f"`{line}` failed; see its output above")
