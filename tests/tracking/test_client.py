import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from imports import ROOT
from mlflow import MlflowClient

from seedlings.tracking import client
from seedlings.tracking.client import Tracker
from seedlings.tracking.tags import LOCK, PARENT, STAGE


@pytest.fixture
def here(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_another_server_is_used_by_the_environment(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.uri() == f"sqlite:///{here / 'mlflow.db'}"
    (here / "mlflow.db").rename(here / "other.db")
    other = f"sqlite:///{here / 'other.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other)
    Tracker()
    assert MlflowClient(other).get_experiment_by_name("seedlings") is not None
    assert not (here / "mlflow.db").exists()


@pytest.mark.slow
def test_processes_that_start_at_once_make_one_database(here: Path) -> None:
    (here / "mlflow.db").unlink()
    code = "from seedlings.tracking.client import Tracker; print(Tracker().experiment)"
    command = [sys.executable, "-c", code]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            command, cwd=here, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    results = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0] * 4, results
    assert len({output for output, _ in results}) == 1


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
