import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from imports import ROOT
from packaging.requirements import Requirement

from seedlings.config import paths
from seedlings.networks import hub
from seedlings.tracking import client
from seedlings.tracking.client import Tracker
from seedlings.tracking.tags import LOCK, PARENT, STAGE

SCRIPT = """
from seedlings.tracking.client import Tracker
tracker = Tracker()
run = tracker.start("a", tags={}, params={"epochs": 3})
for epoch in (1, 2, 3):
    tracker.log_metrics(run, {"loss": 0.5}, epoch)
"""


def requirements_of(folder: Path, layer: str) -> list[str]:
    """Return the requirements of a saved model with one layer."""
    package = folder / "package"
    package.mkdir()
    (package / paths.BUNDLE).write_text(json.dumps({"task": "multiclass"}))
    (package / "model.json").write_text(json.dumps({"registered_name": layer}))
    client.save_model(package, folder / "model")
    return (folder / "model" / "requirements.txt").read_text().splitlines()


@pytest.fixture
def here(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_processes_that_start_at_once_log_into_one_new_database(here: Path) -> None:
    (here / "mlflow.db").unlink()
    command = [sys.executable, "-c", SCRIPT]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [subprocess.Popen(command, cwd=here, env=env) for _ in range(4)]
    assert [process.wait() for process in started] == [0] * 4
    runs = Tracker().runs({})
    assert [run.data.params for run in runs] == [{"epochs": "3"}] * 4
    for run in runs:
        history = Tracker().get_metric_history(run.info.run_id, "loss")
        assert [point.step for point in history] == [1, 2, 3]


def test_runs_are_found_by_tags_that_they_have_or_do_not_have(here: Path) -> None:
    tracker = Tracker()
    parent = tracker.start("whole", tags={LOCK: "1"}, params={"seed": 42})
    child = tracker.start("part", tags={STAGE: "split"}, params={}, parent=parent)

    def found(tags: dict[str, str | None]) -> list[str]:
        return [run.info.run_id for run in tracker.runs(tags)]

    assert found({}) == [parent, child]
    assert found({LOCK: "1"}) == found({PARENT: None}) == [parent]
    assert found({PARENT: parent, STAGE: "split"}) == found({LOCK: None}) == [child]
    assert found({LOCK: "2"}) == []
    assert tracker.find("nothing") is None


@pytest.mark.parametrize(
    ("layer", "needed"), [("Dense", []), ("keras_hub>ViTBackbone", [f"keras-hub=={hub.VERSION}"])]
)
def test_a_served_model_requires_keras_hub_only_for_its_layers(
    layer: str, needed: list[str], tmp_path: Path
) -> None:
    lines = requirements_of(tmp_path, layer)
    assert [line for line in lines if line.startswith("keras-hub")] == needed


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("linux", "x86_64", "tensorflow-cpu"),
        ("linux", "aarch64", "tensorflow"),
        ("darwin", "arm64", "tensorflow"),
        ("darwin", "x86_64", "tensorflow"),
    ],
)
def test_a_served_model_requires_the_same_tensorflow_as_the_project(
    system: str, machine: str, name: str, tmp_path: Path
) -> None:
    platform = {"sys_platform": system, "platform_machine": machine}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    served = requirements_of(tmp_path, "Dense")
    for lines in (served, project["dependencies"]):
        requirements = [Requirement(line) for line in lines if line.startswith("tensorflow")]
        assert [r.name for r in requirements if r.marker.evaluate(platform)] == [name]
    [version] = {str(Requirement(line).specifier) for line in served if "tensorflow" in line}
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert f"\n{name}{version} ; " in lock
