import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from imports import ROOT
from mlflow import MlflowClient
from mlflow.entities import Run

from seedlings import networks, tracking
from seedlings.params import Params, check
from seedlings.records import Record


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's root without code, in which tracking writes."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    while mlflow.active_run():
        mlflow.end_run()


def show(record: Record, params: Params) -> None:
    with tracking.live(record, params):
        record.add_metrics({"x": 0.5})
        record.add_epoch({"loss": 2.0})
        record.add_epoch({"loss": 1.0})
        picture = record.add_picture(Path("reports") / record.stage / "a.png")
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(b"png")
        record.write(picture.with_name("record.json"))


def runs() -> dict[str, Run]:
    client, experiment = tracking.connect()
    found = client.search_runs([experiment])
    return {run.data.tags.get(tracking.STAGE_TAG, "parent"): run for run in found}


def test_a_stage_stands_under_its_parent_with_all_it_found(here: Path, params: Params) -> None:
    (here / "dvc.lock").write_text(
        "stages:\n  split:\n    outs:\n    - path: data/split.csv\n      md5: 0123456789abcdef\n"
    )
    show(Record("segment", params={"segment.method": "none"}), params)
    found = runs()
    child, parent = found["segment"], found["parent"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.info.status == parent.info.status == "FINISHED"
    assert child.data.params == {"segment.method": "none"}
    assert child.data.metrics == {"x": 0.5, "loss": 1.0}
    assert parent.data.params["finetune.head.dropout"] == "0.3"
    [dataset] = child.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("data/split.csv", "0123456789abcdef")
    client = MlflowClient()
    history = client.get_metric_history(child.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0)]
    names = [item.path for item in client.list_artifacts(child.info.run_id)]
    assert sorted(names) == ["pictures", "record.json"]
    assert (here / "mlflow.db").is_file()


def test_the_final_stage_gives_its_numbers_to_the_parent(here: Path, params: Params) -> None:
    show(Record("evaluate"), params)
    parent = runs()["parent"]
    assert parent.data.metrics == {"x": 0.5}
    [pictures] = MlflowClient().list_artifacts(parent.info.run_id)
    assert pictures.path == "pictures"


def test_stages_of_one_state_share_a_parent_and_another_state_has_its_own(
    here: Path, params: Params, tree: dict[str, Any]
) -> None:
    show(Record("segment"), params)
    show(Record("extract"), params)
    tree["finetune"]["epochs"] = 2
    show(Record("finetune"), check(tree))
    found = runs()
    parent_of = {
        stage: run.data.tags["mlflow.parentRunId"]
        for stage, run in found.items()
        if stage != "parent"
    }
    assert parent_of["segment"] == parent_of["extract"] != parent_of["finetune"]


def test_a_stage_that_fails_leaves_a_failed_run(here: Path, params: Params) -> None:
    with pytest.raises(RuntimeError, match="stop"), tracking.live(Record("split"), params):
        raise RuntimeError("stop")
    assert runs()["split"].info.status == "FAILED"


def test_an_experiment_of_dvc_names_the_parent(
    here: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "toned-taw")
    show(Record("segment"), params)
    assert runs()["parent"].info.run_name == "toned-taw"


def test_a_server_that_is_down_costs_one_warning(
    here: Path,
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    record = Record("segment")
    show(record, params)
    assert capsys.readouterr().err.count("warning: MLflow at http://127.0.0.1:9") == 1
    assert record.curves == {"loss": [2.0, 1.0]}
    assert (here / "reports" / "segment" / "record.json").is_file()


def test_the_model_that_is_logged_is_the_model(here: Path, params: Params) -> None:
    record = Record("finetune")
    record.model = networks.logistic_regression((4, 4, 3), 3)
    show(record, params)
    run = runs()["finetune"]
    [output] = run.outputs.model_outputs
    loaded = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    expected = record.model.predict(images, verbose=0)
    assert np.array_equal(loaded.predict(images), expected)
    assert loaded.metadata.signature.inputs.inputs[0].type == np.uint8


def test_the_root_is_found_from_a_temporary_experiment(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = here / ".dvc" / "tmp" / "exps" / "standalone" / "tmp123" / "seedlings"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert tracking.home() == here
    assert tracking.uri() == f"sqlite:///{here / 'mlflow.db'}"


def test_another_server_is_used_by_the_environment(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"sqlite:///{here / 'other.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other)
    tracking.connect()
    assert (here / "other.db").is_file()
    assert not (here / "mlflow.db").exists()


def test_the_state_changes_with_parameters_code_and_data(
    here: Path, params: Params, tree: dict[str, Any]
) -> None:
    states = [tracking.state_digest(params)]
    assert tracking.state_digest(params) == states[0]
    (here / "stages").mkdir()
    (here / "stages" / "split.py").write_text("1")
    states.append(tracking.state_digest(params))
    (here / "mine").mkdir()
    tree["data"].update(source="folder", path="mine")
    states.append(tracking.state_digest(check(tree)))
    (here / "mine" / "1.png").touch()
    states.append(tracking.state_digest(check(tree)))
    assert len(set(states)) == 4


def test_processes_that_start_at_once_make_one_database(here: Path) -> None:
    code = "from seedlings import tracking; print(tracking.connect()[1])"
    command = [sys.executable, "-c", code]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(here)}
    started = [
        subprocess.Popen(
            command, cwd=here, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    results = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0] * 4, results
    assert len({output for output, _ in results}) == 1
