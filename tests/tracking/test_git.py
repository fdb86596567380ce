"""Experiments of DVC, as Git has them."""

import subprocess
from pathlib import Path

import pytest

from seedlings.errors import SeedlingsError
from seedlings.tracking import git


def test_two_experiments_may_have_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    tree = git.run("mktree", text="")
    author = ("-c", "user.name=Test", "-c", "user.email=t@example.org")
    commit = git.run(*author, "commit-tree", tree, "-m", "x")
    for name in ("head-0001", "head-start"):
        git.run("update-ref", f"refs/exps/ab/cdef/{name}", commit)
    git.run("update-ref", "refs/exps/exec/EXEC_HEAD", commit)
    assert git.named_experiments() == {"head-0001": commit, "head-start": commit}
    assert git.experiments() == {commit: "head-start"}


def test_a_command_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SeedlingsError, match="`git rev-parse` failed: .*not a git repository"):
        git.run("rev-parse", "HEAD")
