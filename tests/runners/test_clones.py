"""Clones: what they share with the project, and that the project stays as it is."""

import itertools
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import searches
from dvc.config import Config
from dvc.repo import Repo
from imports import ROOT
from searches import RATE

from seedlings.config import pipeline, yaml_files
from seedlings.runners.clones import Clone, shared_stages
from seedlings.tracking import git

IGNORED = "/data/incoming/*\n!/data/incoming/README\n*.zip\n*.h5\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository with DVC, with a tracked file among the data of the user."""
    folder = tmp_path / "Möhren-项目"  # DVC writes its own configuration in ASCII alone
    (folder / ".dvc").mkdir(parents=True)
    (folder / "data" / "incoming").mkdir(parents=True)
    (folder / ".gitignore").write_text(IGNORED, encoding="utf-8")
    (folder / "data" / "incoming" / "README").write_text("Your images", encoding="utf-8")
    for name in (".gitignore", "config"):
        shutil.copyfile(ROOT / ".dvc" / name, folder / ".dvc" / name)
    searches.repository(folder, monkeypatch)
    return folder


def commit(**changes: Any) -> str:
    """Commit other parameters; `data__path` is data.path."""
    tree: dict[str, Any] = {}
    for key, value in changes.items():
        section, _, name = key.partition("__")
        tree.setdefault(section, {})[name] = value
    file = Path("params.yaml")
    file.write_text(yaml_files.edit(file.read_text(encoding="utf-8"), tree), encoding="utf-8")
    git.run("commit", "--quiet", "--allow-empty", "--all", "--message", "Other parameters")
    return git.run("rev-parse", "HEAD")


@pytest.fixture
def clone(project: Path, tmp_path: Path) -> Callable[..., Clone]:
    numbers = itertools.count()

    def make(values: Mapping[str, Any] | None = None, lock: str = "", **changes: Any) -> Clone:
        folder = tmp_path / f"clone-{next(numbers)}"
        made = Clone(project, folder, commit(**changes), values or {}, lock)
        made.make()
        return made

    return make


def test_a_clone_uses_the_cache_of_the_project(clone: Callable[..., Clone], project: Path) -> None:
    found = clone()
    with Repo(str(found.folder)) as repo, Repo(str(project)) as own:
        assert repo.cache.local.path == own.cache.local.path
        assert repo.stage_cache.cache_dir == own.stage_cache.cache_dir
        assert repo.config["core"]["site_cache_dir"] == str(found.folder / ".dvc" / "tmp" / "site")
        assert repo.config["cache"]["type"] == ["reflink", "hardlink", "symlink", "copy"]
    assert git.run("rev-parse", "HEAD", folder=found.folder) == git.run("rev-parse", "HEAD")
    assert git.run("status", "--porcelain", folder=found.folder) == ""
    assert git.run("status", "--porcelain") == ""
    assert not (project / ".dvc" / "config.local").exists()


def test_the_settings_of_the_user_are_kept(
    clone: Callable[..., Clone], project: Path, tmp_path: Path
) -> None:
    with Config(str(project / ".dvc")).edit("local") as config:
        config["cache"] = {"dir": str(tmp_path / "elsewhere"), "type": ["copy"]}
        config["remote"] = {"own": {"url": "s3://bucket", "access_key_id": "x"}}
    found = Config(str(clone().folder / ".dvc")).load_one("local")
    assert found["cache"] == {"dir": str(tmp_path / "elsewhere"), "type": ["copy"]}
    assert found["remote"]["own"] == {"url": "s3://bucket", "access_key_id": "x"}


def test_a_clone_has_the_name_of_the_user(
    clone: Callable[..., Clone], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    assert git.run("config", "user.name", folder=clone().folder) == "Seedlings"
    git.run("config", "user.name", "Ada")  # of the project alone
    assert git.run("config", "user.name", folder=clone().folder) == "Ada"
    assert git.run("config", "user.email", folder=clone().folder) == "seedlings@localhost"


def test_parameters_and_the_lock_are_set_in_their_texts(clone: Callable[..., Clone]) -> None:
    values = {RATE: 1e-05, "finetune.head.dense": [64, 48], "evaluate.split": "validation"}
    found = clone(values, lock="stages: {}")
    before = Path("params.yaml").read_text(encoding="utf-8").splitlines()
    after = (found.folder / "params.yaml").read_text(encoding="utf-8").splitlines()
    dense, *widths, rate, split = [line for line in after if line not in before]
    assert rate.split() == ["learning_rate:", "1.0e-05"]
    assert dense.startswith("    dense:")
    assert dense.endswith("# widths of layers with ReLU before the output")
    assert widths == ["    - 64", "    - 48"]
    assert split.startswith("  split: validation")
    status = git.run("status", "--porcelain", folder=found.folder)
    assert status.split() == ["M", "params.yaml", "??", "dvc.lock"]
    assert (found.folder / "dvc.lock").read_text(encoding="utf-8") == "stages: {}"


def test_an_experiment_is_handed_over(clone: Callable[..., Clone], project: Path) -> None:
    found = clone()
    os.chdir(found.folder)
    commit = searches.experiment("head-0001", {RATE: 0.01}, 0.5)
    searches.experiment("ahead-0001", {RATE: 0.02}, 0.5)
    os.chdir(project)
    assert git.experiments() == []
    assert found.hand_over("head-0001") == commit
    assert [(e.name, e.commit) for e in git.experiments()] == [("head-0001", commit)]
    shutil.rmtree(found.folder)
    assert git.run("show", f"{commit}:params.yaml")  # it is in the project


def test_a_folder_of_the_user_is_linked_file_by_file(
    clone: Callable[..., Clone], project: Path
) -> None:
    incoming = project / "data" / "incoming"
    for name in ("one/a.png", "one/deep/b.png", "two/c.png", "labels.csv"):
        (incoming / name).parent.mkdir(parents=True, exist_ok=True)
        (incoming / name).write_text(name, encoding="utf-8")
    (project / "far").mkdir()
    (project / "far" / "d.png").write_text("three/d.png", encoding="utf-8")
    (incoming / "three").symlink_to(project / "far")
    found = clone(data__source="folder").folder / "data" / "incoming"
    files = {p.relative_to(found).as_posix(): p for p in found.rglob("*") if p.is_file()}
    tracked = files.pop("README")
    assert not tracked.is_symlink()
    assert sorted(files) == [
        "labels.csv",
        "one/a.png",
        "one/deep/b.png",
        "three/d.png",
        "two/c.png",
    ]
    for name, file in files.items():
        assert file.is_symlink()
        assert file.read_text(encoding="utf-8") == name
    assert not any(p.is_symlink() for p in found.rglob("*") if p.is_dir())


@pytest.mark.parametrize("source", ["archive", "mnist"])
def test_a_file_of_the_user_is_linked(
    clone: Callable[..., Clone], project: Path, source: str
) -> None:
    (project / "data" / "incoming" / "images.zip").write_text("zip", encoding="utf-8")
    (project / "weights.h5").write_text("weights", encoding="utf-8")
    found = clone(
        data__source=source, data__path="data/incoming/images.zip", extract__weights="weights.h5"
    )
    assert (found.folder / "data/incoming/images.zip").read_text(encoding="utf-8") == "zip"
    assert (found.folder / "weights.h5").resolve() == project / "weights.h5"


def test_what_is_not_needed_is_not_linked(clone: Callable[..., Clone], project: Path) -> None:
    (project / "data" / "incoming" / "a.zip").touch()
    outside = project.parent / "outside.zip"
    outside.touch()
    path = "data/incoming/a.zip"
    for changes in (
        {"data__source": "sample", "data__path": path},
        {"data__source": "archive", "data__path": path, "data__url": "https://example.org/a.zip"},
        {"data__source": "archive", "data__path": str(outside), "data__url": None},
    ):
        found = clone(**changes).folder
        links = [p for p in found.rglob("*") if p.is_symlink()]
        assert links == []


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"evaluate.split", "finetune.epochs"},
            ["download", "split", "segment", "extract", "baseline"],
        ),
        ({"segment.pixels", "evaluate.split"}, ["download", "split"]),
        ({"extract.cut", "evaluate.split"}, ["download", "split", "segment", "baseline"]),
    ],
)
def test_stages_that_no_parameter_changes_are_shared(
    project: Path, keys: set[str], expected: list[str]
) -> None:
    assert shared_stages(keys) == expected
    assert [s for s in pipeline.read().stages if s in expected] == expected
