"""Runs of a small pipeline in MLflow, without DVC: its revision is restored from the test."""

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pytest
from imports import ROOT

from seedlings.config import params, paths
from seedlings.config.records import Record
from seedlings.tracking import run_logger, stage_runs, sync
from seedlings.tracking.client import Tracker
from seedlings.tracking.revisions import Revision
from seedlings.tracking.tags import CHANGED, FIRST_RUN, LOCK, PARENT, RESTORED, STAGE

pytestmark = pytest.mark.slow

STAGES = ("split", "baseline", "finetune", "evaluate")


def write(stage: str, root: Path) -> Record:
    """Write the record and the figure of a stage."""
    record = Record(stage, params={"seed": 42})
    record.add_metrics({"finetuned/accuracy": 0.5, "baseline/accuracy": 0.25, "images": 4.0})
    record.add_picture(paths.report(stage) / "a.png")
    if stage == "baseline":
        record.curves = {"accuracy": [0.7, 0.8]}
    if stage == "finetune":
        record.curves = {"loss": [3.0, 2.0, 1.0], "val_loss": [4.0, 3.0, 2.5]}
    folder = root / paths.report(stage)
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"png")
    record.write(folder / "record.json")
    return record


class Restored(Revision):
    """A revision whose records are restored without DVC."""

    def restore_into(self, target: Path) -> dict[str, Record]:
        return {stage: write(stage, target) for stage in STAGES}


@pytest.fixture
def revision(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Revision]:
    """The revision of the parameters in the current folder, which has no code."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    split = {"path": "data/split.csv", "md5": "0123456789abcdef"}
    lock: dict[str, Any] = {stage: {"deps": [split]} for stage in STAGES}
    lock |= {"split": {"outs": [split]}, "download": {"outs": [{"path": "data/raw", "md5": "9"}]}}
    (tmp_path / "dvc.lock").write_text(
        f"stages:\n  split:\n    outs:\n    - path: {split['path']}\n      md5: {split['md5']}\n"
    )
    yield Restored(lock, params.read())
    while mlflow.active_run():
        mlflow.end_run()


def log(stage: str) -> None:
    """Log a stage as the launcher does while it runs."""

    def messages() -> Iterator[Mapping[str, Any]]:
        start = {"stage": stage, "params": {"seed": 42}, "reads": []}
        yield {**start, "tree": params.read(), "time": 1_000}
        record = write(stage, Path())
        for epoch in range(record.epochs):
            values = {name: curve[epoch] for name, curve in record.curves.items()}
            yield {"epoch": epoch + 1, "values": values, "time": 1_001}
        digest = stage_runs.record_digest(paths.record(stage))
        yield {"finished": digest, "time": 1_002}

    run_logger.log(messages())


def shown(stage: str, parent: str) -> list[Any]:
    """What MLflow shows of the run of a stage."""
    client = mlflow.MlflowClient()
    [run] = Tracker().runs({PARENT: parent, STAGE: stage})
    histories = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
    points = {key: [(p.step, p.value) for p in found] for key, found in histories.items()}
    files = [item.path for item in client.list_artifacts(run.info.run_id)]
    figures = [item.path for item in client.list_artifacts(run.info.run_id, f"pictures/{stage}")]
    inputs = [
        item.dataset.to_dictionary()
        for item in client.get_run(run.info.run_id).inputs.dataset_inputs
    ]
    return [run.info.run_name, run.info.status, run.data.params, points, files, figures, inputs]


def test_a_stage_has_the_same_run_whether_it_is_logged_while_it_runs_or_from_its_record(
    revision: Revision, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile("mlflow.db", "other.db")
    for stage in STAGES:
        log(stage)
    [live] = Tracker().runs({PARENT: None})
    before = {stage: shown(stage, live.info.run_id) for stage in STAGES}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    assert sync.publish([revision]) == (1, [])
    [synced] = Tracker().runs({PARENT: None})
    after = {stage: shown(stage, synced.info.run_id) for stage in STAGES}
    assert before == after
    assert after["finetune"][3]["loss"] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert after["finetune"][4:6] == [["pictures", "record.json"], ["pictures/finetune/a.png"]]
    assert [found["name"] for found in after["finetune"][6]] == ["data/split.csv"]
    assert live.data.params == synced.data.params == {k: str(v) for k, v in revision.params.items()}
    figures = mlflow.MlflowClient().list_artifacts(synced.info.run_id, "pictures/finetune")
    assert [figure.path for figure in figures] == ["pictures/finetune/a.png"]
    assert live.info.end_time == 1_002
    last = {
        "epochs/finetune/loss": 1.0,
        "epochs/finetune/val_loss": 2.5,
        "epochs/baseline/accuracy": 0.8,
    }
    expected = {"finetuned/accuracy": 0.5, "baseline/accuracy": 0.25, "images": 4.0, **last}
    assert live.data.metrics == synced.data.metrics == expected
    curve = mlflow.MlflowClient().get_metric_history(synced.info.run_id, "epochs/finetune/loss")
    assert sorted((point.step, point.value) for point in curve) == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert live.info.run_name == synced.info.run_name == "sample"


def test_sync_adds_to_the_runs_of_stages_what_the_run_logger_did_not_log(
    revision: Revision,
) -> None:
    log("split")
    [live] = Tracker().runs({PARENT: None})
    other = Tracker().start("another", tags={}, params={"seed": 1})
    assert sync.publish([revision]) == (1, [])
    assert sync.publish([revision]) == (0, [])
    [parent] = Tracker().runs({LOCK: revision.digest})
    assert parent.info.run_id == live.info.run_id
    runs = {run.data.tags[STAGE]: run for run in Tracker().runs({PARENT: live.info.run_id})}
    assert {stage: RESTORED in run.data.tags for stage, run in runs.items()} == {
        "split": False,
        "baseline": True,
        "finetune": True,
        "evaluate": True,
    }
    again = Restored({**revision.lock, "report": {}}, revision.tree)
    assert sync.publish([again]) == (1, [])
    [twin] = Tracker().runs({LOCK: again.digest})
    [split] = Tracker().runs({PARENT: twin.info.run_id, STAGE: "split"})
    assert split.data.tags[FIRST_RUN] == runs["split"].info.run_id
    assert len(Tracker().runs({PARENT: None})) == 3
    assert parent.info.end_time == 1_002  # that of the last stage that ran, and not of the sync
    assert Tracker().runs({PARENT: other}) == []


def test_syncs_at_once_log_a_revision_once(revision: Revision) -> None:
    with ThreadPoolExecutor(3) as threads:
        futures = [threads.submit(sync.publish, [revision]) for _ in range(3)]
        results = sorted(future.result() for future in futures)
    assert results == [(0, []), (0, []), (1, [])]
    assert len(Tracker().runs({PARENT: None})) == 1


def test_a_run_is_named_after_its_preset_and_what_was_edited(revision: Revision) -> None:
    shutil.copytree(ROOT / "conf", "conf")
    assert stage_runs.name(revision.tree) == "sample"
    assert stage_runs.changed(revision.tree) == {}
    edited = params.changed(revision.tree, {"finetune.epochs": 3, "segment.method": "none"})
    assert stage_runs.name(edited) == "sample: segment.method=none, finetune.epochs=3"
    assert stage_runs.changed(edited) == {CHANGED: "segment.method=none, finetune.epochs=3"}
    long = params.changed(revision.tree, {"data.path": "/" + "x" * 9_000})
    assert len(stage_runs.name(long)) == 80
    assert len(stage_runs.changed(long)[CHANGED]) == 5_000
