"""params.yaml is what runs: edited by hand, by `-S`, in the queue and in a temporary folder."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from imports import ROOT
from project import Project

from seedlings.config import paths, records

pytestmark = pytest.mark.slow


def comments(text: str) -> list[str]:
    return sorted(re.findall(r"# (.*)", text))


def edit(project: Project, changes: dict[str, str]) -> None:
    path = project.root / "params.yaml"
    text = path.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def epochs(project: Project, revision: str = "") -> tuple[int, int]:
    """The epochs of finetune that params.yaml asks for, and those that were trained."""
    if revision:
        text = project.run("git", "show", f"{revision}:params.yaml")
        lock = yaml.safe_load(project.run("git", "show", f"{revision}:dvc.lock"))
        used = lock["stages"]["finetune"]["params"]["params.yaml"]["finetune"]["epochs"]
    else:
        text = (project.root / "params.yaml").read_text(encoding="utf-8")
        used = records.read(project.root / paths.record("finetune")).epochs
    return yaml.safe_load(text)["finetune"]["epochs"], used


@pytest.fixture(scope="module")
def project(new_project: Callable[[], Project]) -> Project:
    project = new_project()
    project.fake_stages()
    project.repro("finetune")
    project.commit("Results")
    return project


def test_an_edit_by_hand_is_what_an_experiment_runs_with_every_comment(project: Project) -> None:
    before = comments((ROOT / "params.yaml").read_text(encoding="utf-8"))
    edit(project, {"  epochs: 60": "  epochs: 2 "})
    project.run("dvc", "exp", "run", "--quiet", "--name", "by-hand", "finetune")
    assert epochs(project) == (2, 2)
    assert comments((project.root / "params.yaml").read_text(encoding="utf-8")) == before
    for number in (3, 4):  # twice in a row, each on top of what is there
        option = f"finetune.batch_size={number * 10}"
        project.run("dvc", "exp", "run", "--quiet", "-S", option, "-n", f"s{number}", "finetune")
        text = (project.root / "params.yaml").read_text(encoding="utf-8")
        assert yaml.safe_load(text)["finetune"]["batch_size"] == number * 10
        assert epochs(project) == (2, 2)
        assert comments(text) == before
    project.run("git", "checkout", "--quiet", "--force", "HEAD")


def test_the_queue_and_a_temporary_folder_run_what_the_file_says(project: Project) -> None:
    before = comments((ROOT / "params.yaml").read_text(encoding="utf-8"))
    edit(project, {"label_smoothing: 0.0": "label_smoothing: 0.1"})
    choice = "finetune.epochs=choice(2,3)"
    project.run("dvc", "exp", "run", "--quiet", "--queue", "-S", choice, "finetune")
    project.run("dvc", "queue", "start", "--quiet", "-j", "1")
    project.wait_for_queue()
    temporary = ["dvc", "exp", "run", "--quiet", "--temp", "-S", "finetune.epochs=4"]
    project.run(*temporary, "finetune")
    found = {}
    for revision in project.run("dvc", "exp", "list", "--sha-only").split():
        text = project.run("git", "show", f"{revision}:params.yaml")
        if yaml.safe_load(text)["finetune"]["label_smoothing"] == 0.1:
            assert comments(text) == before
            asked, used = epochs(project, revision)
            found[asked] = used
    assert found == {2: 2, 3: 3, 4: 4}
    text = (project.root / "params.yaml").read_text(encoding="utf-8")
    assert "label_smoothing: 0.1" in text  # the edit is still in the workspace


def test_a_preset_given_as_a_parameter_is_refused_by_dvc(project: Project) -> None:
    output = project.run("dvc", "exp", "run", "-S", "preset=digits", fails=True)
    assert "preset" in output
    assert Path(project.root / "params.yaml").read_text("utf-8").count("preset=digits") == 0
