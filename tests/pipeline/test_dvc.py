"""What DVC runs again, with stages that write small files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from project import STAGES, Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reproduced_project(with_fake_stages: Callable[[], Project]) -> Project:
    return with_fake_stages()


@pytest.fixture
def project(reproduced_project: Project) -> Project:
    """The project with its committed parameters and results."""
    reproduced_project.tracking = False
    reproduced_project.run("git", "checkout", "--quiet", "--force", "HEAD")
    reproduced_project.run("dvc", "checkout", "--quiet")
    return reproduced_project


def test_a_first_repro_runs_every_stage_and_a_second_none(project: Project) -> None:
    assert project.ran(project.first_output) == STAGES
    assert project.ran(project.repro()) == []


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"finetune__epochs": 2}, ["finetune", "package", "evaluate", "explain", "report"]),
        (
            {"baseline__epochs": 1, "evaluate__mistakes": 3},
            ["baseline", "evaluate", "report"],
        ),
        (
            {"segment__method": "color_distance"},
            STAGES[2:],
        ),
        ({"data__on_bad_image": "skip"}, ["download", "split", "report"]),
    ],
)
def test_only_what_depends_on_a_parameter_runs_again(
    change: dict[str, object], stages: list[str], project: Project
) -> None:
    project.set(**change)
    assert project.ran(project.repro()) == stages


def test_a_comment_in_the_readme_runs_nothing(project: Project) -> None:
    with (project.root / "README.md").open("a", encoding="utf-8") as readme:
        readme.write("\n<!-- a comment -->\n")
    assert project.ran(project.repro()) == []


def test_a_clone_with_the_cache_runs_nothing(project: Project, tmp_path: Path) -> None:
    clone = Project(tmp_path / "clone")
    project.run("git", "clone", "--quiet", str(project.root), str(clone.root))
    clone.run("dvc", "cache", "dir", "--local", str(project.root / ".dvc" / "cache"))
    clone.run("dvc", "checkout", "--quiet")
    assert clone.ran(clone.repro()) == []


def test_results_that_are_lost_are_restored_and_not_computed(project: Project) -> None:
    shutil.rmtree(project.root / "models")
    shutil.rmtree(project.root / "data" / "features")
    output = project.repro()
    assert project.ran(output) == []
    assert (project.root / "models" / "packaged" / "bundle.json").exists()


def test_an_experiment_runs_what_depends_on_its_change(project: Project) -> None:
    output = project.run("dvc", "exp", "run", "--name", "short", "-S", "finetune.epochs=1")
    assert project.ran(output) == ["finetune", "package", "evaluate", "explain", "report"]
    project.run("git", "checkout", "--quiet", "--force", "HEAD")
    project.run("dvc", "exp", "apply", "short")
    assert project.ran(project.repro()) == []
    text = (project.root / "params.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["finetune"]["epochs"] == 1
