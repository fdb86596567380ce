"""Sharing with a team-mate: a pipeline of two small stages, and real remotes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from project import Project

from seedlings.errors import SeedlingsError
from seedlings.tracking import git, revisions

pytestmark = pytest.mark.slow

PIPELINE = """stages:
  make: {cmd: python make.py, deps: [make.py], params: [x], outs: [data/raw, reports/evaluate]}
  copy: {cmd: cp data/raw/a.txt model.txt, deps: [data/raw], outs: [model.txt]}
"""
SCRIPT = """import pathlib, yaml
x = yaml.safe_load(open("params.yaml"))["x"]
for folder in map(pathlib.Path, ("data/raw", "reports/evaluate")):
    folder.mkdir(parents=True, exist_ok=True)
    for name in "ab":
        (folder / f"{name}.txt").write_text(f"{name} in {folder}, {x}")
"""
FILES = {
    "dvc.yaml": PIPELINE,
    "make.py": SCRIPT,
    "params.yaml": "x: 1\n",
    ".gitignore": "/data\n/reports\n/model.txt\n",
}


@pytest.fixture(scope="module")
def without_remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two experiments, dim and lr1, that were made before there was a remote."""
    project = Project(tmp_path_factory.mktemp("made"))
    for name, text in FILES.items():
        (project.root / name).write_text(text, encoding="utf-8")
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("git", "config", "user.name", "Test")
    project.run("git", "config", "user.email", "t@example.org")
    project.run("dvc", "init", "--quiet")
    project.run("dvc", "config", "core.autostage", "false")
    project.repro()
    project.commit("Results")
    run(project, "dim", 2)
    run(project, "lr1", 3)
    return project.root


def run(project: Project, name: str, x: int) -> None:
    """Run an experiment, and leave the workspace as it was."""
    project.run("dvc", "exp", "run", "--quiet", "--name", name, "-S", f"x={x}")
    project.run("git", "checkout", "--quiet", "--force", "HEAD")
    project.run("dvc", "checkout", "--quiet")


@pytest.fixture
def project(without_remote: Path, tmp_path: Path) -> Project:
    """A copy of the project with an empty Git remote."""
    shutil.copytree(without_remote, tmp_path / "project", symlinks=True)
    project = Project(tmp_path / "project")
    origin = str(tmp_path / "origin.git")
    project.run("git", "init", "--quiet", "--bare", "--initial-branch", "main", origin)
    project.run("git", "remote", "add", "origin", origin)
    return project


@pytest.fixture
def shared(project: Project, tmp_path: Path) -> Project:
    """The project with a folder as its remote, which is committed and not pushed to."""
    add_remote(project, {"url": str(tmp_path / "remote")})
    project.commit("The remote")
    project.run("git", "push", "--quiet", "origin", "main")
    return project


def add_remote(project: Project, settings: dict[str, str], *options: str) -> None:
    project.run("dvc", "remote", "add", *options, "--default", "team", settings["url"])
    for name, value in settings.items():
        if name != "url":
            project.run("dvc", "remote", "modify", *options, "team", name, value)


def clone(project: Project) -> Project:
    """The clone of a team-mate."""
    mate = Project(project.root.parent / "mate")
    project.run("git", "clone", "--quiet", str(project.root.parent / "origin.git"), str(mate.root))
    mate.run("git", "config", "user.name", "Mate")
    mate.run("git", "config", "user.email", "mate@example.org")
    return mate


def lose(folder: Path, text: str) -> None:
    """Remove the file with a text from a cache or a remote."""
    files = [file for file in (folder / "files" / "md5").rglob("*") if file.is_file()]
    [lost] = [file for file in files if file.read_text(encoding="utf-8") == text]
    lost.unlink()


def restores(mate: Project, experiment: str, x: int) -> None:
    """Assert that an experiment is restored and no stage runs."""
    mate.run("dvc", "exp", "apply", experiment)
    assert mate.ran(mate.repro()) == []
    assert (mate.root / "model.txt").read_text(encoding="utf-8") == f"a in data/raw, {x}"
    assert (mate.root / "reports" / "evaluate" / "b.txt").exists()
    mate.run("git", "checkout", "--quiet", "--force", "HEAD")


@pytest.fixture(params=["folder", pytest.param("ssh", marks=pytest.mark.nightly), "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of a DVC remote of each kind, with a server behind it."""
    if request.param == "folder":
        yield {"url": str(tmp_path / "remote")}
    elif request.param == "ssh":
        with servers.ssh(tmp_path / "ssh") as (url, key):
            yield {"url": url, "keyfile": str(key)}
    else:
        with servers.s3(tmp_path / "s3") as address:
            yield {
                "url": "s3://team/files",
                "endpointurl": address,
                "access_key_id": "key",
                "secret_access_key": "secret",
            }


def test_experiments_from_before_the_remote_are_restored_in_another_clone(
    project: Project, settings: dict[str, str]
) -> None:
    add_remote(project, settings)
    project.commit("The remote")
    project.run("git", "push", "--quiet", "origin", "main")
    told = project.run("seedlings", "push")
    assert "DVC remote team: 8 more files pushed" in told  # four files of each experiment
    assert "Git remote origin: pushed dim, lr1; 0 there before" in told
    told = project.run("seedlings", "push")
    assert "DVC remote team: 0 more files pushed" in told
    assert "Git remote origin: pushed no new experiment; 2 there before" in told

    mate = clone(project)
    told = mate.run("seedlings", "pull")
    assert "Git remote origin: pulled dim, lr1; 0 there before" in told
    assert "DVC remote team: 8 more files pulled" in told
    note = "The .dvc/config of dim, lr1 does not have the remote team"
    assert note in told
    for name, x in (("dim", 2), ("lr1", 3)):
        restores(mate, name, x)
    mate.run("dvc", "exp", "apply", "dim")
    assert mate.run("dvc", "remote", "list").strip() == ""  # as the note says
    mate.run("git", "checkout", "HEAD", "--", ".dvc/config")
    assert mate.run("dvc", "remote", "list").split()[:1] == ["team"]


def test_a_remote_of_one_clone_alone_stays_when_an_experiment_is_applied(
    project: Project, tmp_path: Path
) -> None:
    project.run("git", "push", "--quiet", "origin", "main")
    for one in (project, clone(project)):
        add_remote(one, {"url": str(tmp_path / "remote")}, "--local")
        told = one.run("seedlings", "push" if one is project else "pull")
        assert "does not have the remote" not in told
    restores(one, "dim", 2)
    assert one.run("dvc", "remote", "list").split()[:1] == ["team"]


def test_outputs_that_are_nowhere_are_named_after_the_rest_was_pushed(shared: Project) -> None:
    lose(shared.root / ".dvc" / "cache", "b in data/raw, 3")
    told = shared.run("seedlings", "push", fails=True)
    assert "Git remote origin: pushed dim; 0 there before" in told
    assert (
        "seedlings: not everything was pushed:\n"
        "  lr1: the DVC remote team does not have all of data/raw\n" in told
    )
    assert "`dvc exp apply NAME` and `dvc repro` make it again" in told
    shared.run("dvc", "exp", "apply", "lr1", fails=True)  # its file is not in the cache
    assert shared.ran(shared.repro()) == ["make"]
    shared.run("git", "checkout", "--quiet", "--force", "HEAD")
    assert "Git remote origin: pushed lr1; 1 there before" in shared.run("seedlings", "push")


def test_a_file_that_the_remote_lost_is_pushed_again(shared: Project, tmp_path: Path) -> None:
    shared.run("seedlings", "push")
    lose(tmp_path / "remote", "b in data/raw, 3")
    mate = clone(shared)
    told = mate.run("seedlings", "pull", fails=True)
    assert "pulled:\n  lr1: the DVC remote team does not have all of data/raw\n" in told
    assert "Run `seedlings push` where the results were made" in told
    assert "DVC remote team: 1 more file pushed" in shared.run("seedlings", "push")
    assert "DVC remote team: 1 more file pulled" in mate.run("seedlings", "pull")
    restores(mate, "lr1", 3)


def test_two_experiments_with_one_name_are_both_shared(shared: Project) -> None:
    run(shared, "dim", 5)
    baselines = [shared.run("git", "rev-parse", rev).strip() for rev in ("HEAD~1", "HEAD")]
    titles = {f"dim (baseline {baseline[:7]})" for baseline in baselines}
    [told] = [line for line in shared.run("seedlings", "push").splitlines() if "pushed dim" in line]
    listed = told.removeprefix("Git remote origin: pushed ").removesuffix("; 0 there before")
    assert {*listed.split(", ")} == {*titles, "lr1"}
    mate = clone(shared)
    mate.run("seedlings", "pull")
    mate.run("git", "commit", "--quiet", "--allow-empty", "--message", "Another")
    assert "dim" in mate.run("dvc", "exp", "apply", "dim", fails=True)  # DVC asks which one
    for baseline, x in zip(baselines, (2, 5), strict=True):
        ref = f"refs/exps/{baseline[:2]}/{baseline[2:]}/dim"
        restores(mate, mate.run("git", "rev-parse", ref).strip(), x)


def test_another_experiment_on_the_git_remote_is_not_replaced(shared: Project) -> None:
    shared.run("seedlings", "push")
    mate = clone(shared)
    mate.run("seedlings", "pull")
    ref = mate.run("git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/dim").strip()
    theirs = mate.run("git", "rev-parse", ref).strip()
    shared.run("git", "checkout", "--quiet", "HEAD~1")
    shared.run("dvc", "exp", "run", "--quiet", "--force", "--name", "dim", "-S", "x=7")
    shared.run("git", "checkout", "--quiet", "--force", "main")
    told = shared.run("seedlings", "push", fails=True)
    assert "dim: the Git remote origin has another experiment with this name" in told
    assert f"`dvc exp push --force origin {ref}` replaces it" in told
    shared.run("dvc", "exp", "push", "--force", "origin", ref)
    assert f"`dvc exp pull --force origin {ref}` replaces" in mate.run("seedlings", "pull")
    assert mate.run("git", "rev-parse", ref).strip() == theirs


def test_the_outputs_of_all_commits_are_shared_on_demand(
    shared: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared.root / "params.yaml").write_text("x: 9\n", encoding="utf-8")
    shared.repro()
    shared.commit("More results")
    shared.run("git", "push", "--quiet", "origin", "main")
    shared.run("seedlings", "push")
    mate = clone(shared)
    mate.run("seedlings", "pull")
    monkeypatch.chdir(mate.root)
    first = git.run("rev-parse", "HEAD~1")
    wanted = [Path("model.txt")]
    advice = "run `seedlings push --all-commits` where it was made and `seedlings pull --all-co"
    with pytest.raises(
        SeedlingsError, match=f"{first[:7]}: expected model.txt in DVC's .*{advice}"
    ):
        revisions.at("HEAD~1").get(wanted, mate.root / "copy")
    assert "DVC remote team: 4 more files pushed" in shared.run(
        "seedlings", "push", "--all-commits"
    )
    assert "DVC remote team: 4 more files pulled" in mate.run("seedlings", "pull", "--all-commits")
    shutil.rmtree(mate.root.parent / "remote")
    revisions.at("HEAD~1").get(wanted, mate.root / "copy")
    assert (mate.root / "copy" / "model.txt").read_text(encoding="utf-8") == "a in data/raw, 1"


def test_an_experiment_is_read_from_the_remote_that_is_newer(
    shared: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.run("seedlings", "push")
    mate = clone(shared)
    monkeypatch.chdir(mate.root)
    git.run("fetch", "--quiet", "origin", "refs/exps/*:refs/exps/*")
    revisions.at("dim").get([Path("data/raw"), Path("model.txt")], tmp_path / "copy")
    assert (tmp_path / "copy" / "model.txt").read_text(encoding="utf-8") == "a in data/raw, 2"
    shutil.rmtree(tmp_path / "remote")
    match = "^lr1: expected data/raw in DVC's cache or remote, found none; run `seedlings push` wh"
    with pytest.raises(SeedlingsError, match=match):
        revisions.at("lr1").get([Path("data/raw")], tmp_path / "copy")


def test_sharing_says_which_remote_is_missing(project: Project) -> None:
    project.run("git", "remote", "rename", "origin", "other")
    message = project.run("seedlings", "push", fails=True)
    assert "expected a Git remote named 'origin'" in message
    project.run("git", "remote", "rename", "other", "origin")
    assert "expected a default DVC remote, found none" in project.run(
        "seedlings", "push", fails=True
    )
