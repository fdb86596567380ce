"""Experiments of DVC, as Git has them."""

import subprocess
from pathlib import Path

import pytest

from seedlings.errors import SeedlingsError
from seedlings.tracking import git
from seedlings.tracking.git import Experiment


@pytest.fixture
def commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three commits of an empty repository."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    tree = git.run("mktree", text="")
    author = ("-c", "user.name=Test", "-c", "user.email=t@example.org")
    return [git.run(*author, "commit-tree", tree, "-m", message) for message in "abc"]


def refer(baseline: str, name: str, commit: str) -> None:
    git.run("update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}", commit)


def test_two_experiments_may_have_one_commit(commits: list[str]) -> None:
    baseline, _, commit = commits
    for name in ("head-0001", "head-start"):
        refer(baseline, name, commit)
    assert git.experiments() == [
        Experiment("head-0001", baseline, commit, is_unique=True),
        Experiment("head-start", baseline, commit, is_unique=True),
    ]
    assert git.commits_of(baseline) == {"head-0001": commit, "head-start": commit}
    assert git.commits_of(commit) == {}


def test_two_experiments_may_have_one_name(commits: list[str]) -> None:
    first, second, commit = sorted(commits)
    refer(second, "dim", first)
    refer(first, "dim", commit)
    refer(second, "lr1", commit)
    found = git.experiments()
    assert [(e.baseline, e.commit) for e in found] == [
        *((first, commit), (second, first), (second, commit))
    ]
    titles = [f"dim (baseline {first[:7]})", f"dim (baseline {second[:7]})", "lr1"]
    assert [e.title for e in found] == titles
    assert git.commits_of(second) == {"dim": first, "lr1": commit}
    assert [git.ask("rev-parse", e.ref) for e in found] == [e.commit for e in found]


def test_internal_refs_of_dvc_are_no_experiments(commits: list[str]) -> None:
    for name in ("exec/EXEC_HEAD", "apply/ORIG_HEAD", "apply/stash", "celery/failed", "stash"):
        git.run("update-ref", f"refs/exps/{name}", commits[0])
    assert git.experiments() == []


def test_a_command_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SeedlingsError, match="`git rev-parse` failed: .*not a git repository"):
        git.run("rev-parse", "HEAD")
