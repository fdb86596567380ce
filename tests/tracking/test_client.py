import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
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


def test_a_run_has_what_was_logged(here: Path) -> None:
    tracker = Tracker()
    parent = tracker.start("whole", tags={"seedlings.lock": "1"}, params={"seed": 42})
    child = tracker.start("part", tags={"seedlings.stage": "split"}, params={}, parent=parent)
    tracker.log_metrics(child, {"loss": 2.0}, 1)
    tracker.log_metrics(child, {"loss": 1.0}, 2)
    tracker.set_terminated(child)
    tracker.set_terminated(parent, "FAILED")
    [found] = tracker.runs({LOCK: "1"})
    assert (found.info.run_id, found.info.run_name, found.info.status) == (
        parent,
        "whole",
        "FAILED",
    )
    assert found.data.params == {"seed": "42"}
    [part] = tracker.runs({STAGE: "split"})
    assert part.data.tags[PARENT] == parent
    assert part.data.metrics == {"loss": 1.0}
    assert tracker.runs({LOCK: "2"}) == []
    assert [run.info.run_id for run in tracker.runs({})] == [parent, child]
    tracker.delete_run(child)
    assert [run.info.run_id for run in tracker.runs({})] == [parent]


def test_more_than_a_page_of_runs_is_found(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker()
    for number in range(7):
        tracker.start(str(number), tags={}, params={})
    monkeypatch.setattr(mlflow.tracking.fluent, "NUM_RUNS_PER_PAGE_PANDAS", 3)
    assert [run.info.run_name for run in tracker.runs({})] == list("0123456")
