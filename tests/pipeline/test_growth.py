"""Data that grows: what is computed, and that the bytes are those of a rebuild from nothing."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from project import Project

from seedlings import images
from seedlings.data import sample

pytestmark = pytest.mark.slow

ARRAYS = ("data/images", "data/features")
STAGES = ("split", "segment", "extract")
DATA = "data/photos"


def draw(folder: Path, species: int, numbers: range) -> None:
    target = folder / f"class {species}"
    target.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        picture, _ = sample.draw_numbered(species, number, seed=3, size=40)
        (target / f"{number:03d}.png").write_bytes(images.encode_png(picture))


@pytest.fixture(scope="module")
def grown(new_project: Callable[[], Project]) -> Project:
    """A project with 45 images in a folder, and committed results of segment and extract."""
    project = new_project()
    project.shrink(
        data__source="folder",
        data__path=DATA,
        segment__pixels=[32, 32],
        segment__method="none",
        extract__batch_size=4,
        split__validation_per_class=2,
        split__duplicate_distance=None,
    )
    for species in range(3):
        draw(project.root / DATA, species, range(15))
    project.run("dvc", "add", DATA)
    project.run("dvc", "repro", "extract")
    project.commit("The first images")
    return project


def hashes(project: Project) -> dict[str, str]:
    lock = yaml.safe_load((project.root / "dvc.lock").read_text(encoding="utf-8"))
    return {out["path"]: out["md5"] for stage in STAGES for out in lock["stages"][stage]["outs"]}


def computed(output: str) -> dict[str, int]:
    """Return how many rows each stage computed, by its progress bar."""
    bars = re.findall(r"(segment|extract): 100%.*?\| (\d+)/", output)
    return {stage: int(count) for stage, count in bars}


def change(folder: Path) -> None:
    """Add three images, remove one, rename one, move one to another class, and edit one."""
    draw(folder, 1, range(15, 18))
    (folder / "class 1" / "002.png").unlink()
    (folder / "class 0" / "003.png").rename(folder / "class 0" / "zz.png")
    (folder / "class 0" / "004.png").rename(folder / "class 1" / "moved.png")
    picture, _ = sample.draw_numbered(2, 99, seed=3, size=40)
    (folder / "class 2" / "007.png").write_bytes(images.encode_png(picture))


def test_only_new_rows_are_computed_and_the_bytes_are_those_of_a_rebuild(grown: Project) -> None:
    change(grown.root / DATA)
    grown.run("dvc", "add", DATA)
    output = grown.run("dvc", "repro", "extract")
    assert computed(output) == {"segment": 4, "extract": 4}
    assert "the hashes of 43 of 47 images are reused" in output
    taken_over = hashes(grown)
    grown.commit("Other images")
    grown.env["SEEDLINGS_REUSE"] = "off"
    output = grown.run("dvc", "repro", "--force", "split", "segment", "extract", "--single-item")
    del grown.env["SEEDLINGS_REUSE"]
    assert computed(output) == {"segment": 47, "extract": 47}
    assert hashes(grown) == taken_over


def test_a_changed_parameter_or_module_takes_nothing_over(grown: Project) -> None:
    grown.set(segment__background="mean")
    with (grown.root / "seedlings" / "networks" / "params.py").open("a") as module:
        module.write("\n# A comment.\n")
    output = grown.run("dvc", "repro", "extract")
    assert "segment: no row is reused, as segment.background changed since dvc.lock" in output
    assert "extract: no row is reused, as seedlings/networks changed since dvc.lock" in output
    assert computed(output) == {"segment": 47, "extract": 47}
    grown.run("git", "checkout", "--quiet", ".")


def test_a_branch_and_a_temporary_experiment_take_over_what_their_dvc_lock_names(
    grown: Project,
) -> None:
    grown.run("git", "checkout", "--quiet", "-b", "other", "main~1")
    grown.run("dvc", "checkout", DATA)
    draw(grown.root / DATA, 2, range(20, 22))
    grown.run("dvc", "add", DATA)
    output = grown.run("dvc", "exp", "run", "--temp", "extract")
    assert computed(output) == {"segment": 2, "extract": 2}
    assert computed(grown.run("dvc", "repro", "extract")) == {}  # from the run cache
    grown.commit("Two more")


def test_the_results_of_a_team_mate_are_taken_over_once_they_are_pulled(
    grown: Project, tmp_path: Path
) -> None:
    grown.run("dvc", "remote", "add", "--default", "team", str(tmp_path / "remote"))
    grown.commit("A remote")
    grown.run("dvc", "push")
    grown.run("git", "clone", "--quiet", str(grown.root), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.run("dvc", "pull", DATA)
    draw(clone.root / DATA, 0, range(30, 31))
    clone.run("dvc", "add", DATA)
    output = clone.run("dvc", "repro", "segment")
    assert "segment: no row is reused: `dvc pull` fetches the last outputs" in output
    assert computed(output) == {"segment": 48}
    clone.run("git", "checkout", "--quiet", "dvc.lock")
    shutil.rmtree(clone.root / ".dvc" / "cache" / "runs", ignore_errors=True)
    clone.run("dvc", "fetch", *ARRAYS, "reports/segment", fails=None)
    output = clone.run("dvc", "repro", "extract")
    assert computed(output) == {"segment": 1, "extract": 1}
