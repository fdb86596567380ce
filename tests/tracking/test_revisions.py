"""Revisions of the pipeline, by their names."""

import shutil
from pathlib import Path

import pytest
import searches
from project import Project
from searches import RATE, experiment

from seedlings.errors import SeedlingsError
from seedlings.tracking import comparisons, git, revisions
from seedlings.tracking.git import Experiment
from seedlings.tracking.revisions import Revision

PIPELINE = """stages:
  make: {cmd: python make.py, outs: [out, single.txt]}
"""
SCRIPT = """import pathlib
for name in ("out/a.txt", "out/inner/b.txt", "single.txt"):
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
"""


@pytest.fixture
def dims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Experiment]:
    """Two experiments with the name dim, of two commits, and one with another name."""
    searches.repository(tmp_path, monkeypatch)
    experiment("dim", {RATE: 0.01}, 0.5)
    git.run("commit", "--quiet", "--allow-empty", "--message", "More")
    experiment("dim", {RATE: 0.02}, 0.5)
    experiment("lr1", {RATE: 0.03}, 0.5)
    return [found for found in git.experiments() if found.name == "dim"]


def test_all_has_both_of_two_experiments_with_one_name(dims: list[Experiment]) -> None:
    found = {revision.commit: revision for revision in revisions.every()}
    assert len(found) == 3
    for dim in dims:
        revision = found.pop(dim.commit)
        assert revision.name == dim.title == f"dim (baseline {dim.baseline[:7]})"
        assert revision.restore == f"dvc exp apply {dim.commit}"
        assert revisions.at(dim.commit) == revisions.at(dim.ref) == revision
        assert revisions.at("dim", dim.baseline) == revision
    [other] = found.values()
    assert (other.name, other.restore) == ("lr1", "dvc exp apply lr1")


def test_a_name_that_two_experiments_have_is_an_error_with_their_commits(
    dims: list[Experiment],
) -> None:
    listed = ", ".join(f"{dim.commit[:7]} (baseline {dim.baseline[:7]})" for dim in dims)
    with pytest.raises(SeedlingsError) as caught:
        revisions.at("dim")
    assert str(caught.value) == (
        "expected the name of one experiment, found 2 with the name 'dim'; "
        f"use the commit of one: {listed}"
    )
    with pytest.raises(SeedlingsError, match="found 2 with the name 'dim'"):
        comparisons.side("dim")
    assert revisions.at(dims[1].commit[:7]).commit == dims[1].commit


def test_an_experiment_of_another_baseline_is_not_known_by_its_name(
    dims: list[Experiment],
) -> None:
    first = git.run("rev-parse", "HEAD~1")
    with pytest.raises(SeedlingsError, match="expected a revision or an experiment, found 'lr1'"):
        revisions.at("lr1", first)


@pytest.mark.slow
def test_files_in_the_cache_are_read_without_the_file_system_of_dvc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    for name, text in (("dvc.yaml", PIPELINE), ("make.py", SCRIPT), ("params.yaml", "a: 1\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("dvc", "init", "--quiet")
    project.run("dvc", "remote", "add", "--quiet", "--default", "other", str(tmp_path / "remote"))
    project.repro()
    project.commit("A result")
    monkeypatch.chdir(tmp_path)
    revision = revisions.at("HEAD")
    with monkeypatch.context() as context:
        context.delattr(Revision, "_pull")
        check(revision, "out/a.txt", "out/inner")
    check(revision, "out", "single.txt")
    (tmp_path / ".dvc" / "cache").rename(tmp_path / "remote")
    check(revision, "out/inner/b.txt", "out/a.txt")  # from the remote
    shutil.rmtree(tmp_path / "remote")
    shutil.rmtree(tmp_path / ".dvc" / "cache", ignore_errors=True)
    match = "expected out in DVC's cache or remote, found none"
    with pytest.raises(SeedlingsError, match=match), revision.files([Path("out")]):
        pass


def check(revision: Revision, *wanted: str) -> None:
    """Compare the copies of files or folders with what the script wrote."""
    names = ("out/a.txt", "out/inner/b.txt", "single.txt")
    expected = [n for n in names if any(Path(n).is_relative_to(path) for path in wanted)]
    with revision.files([*map(Path, wanted)]) as folder:
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        assert [path.relative_to(folder).as_posix() for path in found] == expected
        assert [path.read_text() for path in found] == expected
