import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from imports import ROOT
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.types import DataType

from seedlings import images, live, networks, packages, tracking
from seedlings.params import Params, check
from seedlings.records import Record
from seedlings.tasks import TASKS


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
    with live.following(record, params):
        record.add_metrics({"x": 0.5})
        record.add_epoch({"loss": 2.0})
        record.add_epoch({"loss": 1.0})
        picture = record.add_picture(Path("reports") / record.stage / "a.png")
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(b"png")
        record.write(picture.with_name("record.json"))


def runs() -> dict[str, Run]:
    client = MlflowClient(tracking.uri())
    experiment = client.get_experiment_by_name("seedlings").experiment_id
    found = client.search_runs([experiment])
    return {run.data.tags.get("seedlings.stage", "parent"): run for run in found}


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
    with pytest.raises(RuntimeError, match="stop"), live.following(Record("split"), params):
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


def test_the_model_that_is_logged_is_the_package(
    here: Path, params: Params, recwarn: pytest.WarningsRecorder
) -> None:
    model = networks.baseline((20, 20, 3), 2, TASKS["multiclass"])
    segment = {**params.segment.model_dump(), "size": [20, 20]}
    contents = packages.Contents("multiclass", ["a", "b"], segment, 0.5, (0.0, 1.0))
    packages.write(model, contents, here / "packaged")
    record = Record("package")
    record.model = here / "packaged"
    show(record, params)
    run = runs()["package"]
    assert not run.outputs or not run.outputs.model_outputs
    [output] = runs()["parent"].outputs.model_outputs
    loaded = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    pictures = np.random.default_rng(0).integers(0, 256, (3, 31, 17, 3), dtype=np.uint8)
    files = pd.DataFrame({"image": [images.encode_png(picture) for picture in pictures]})
    expected = packages.Predictor(here / "packaged").answer(list(pictures))
    pd.testing.assert_frame_equal(loaded.predict(files), expected)
    assert loaded.metadata.signature.inputs.inputs[0].type == DataType.binary
    with pytest.raises(MlflowException, match="image 1: expected an image, found 5 bytes"):
        loaded.predict(pd.DataFrame({"image": [files["image"][0], b"wrong"]}))
    folder = tracking.Tracker().download_model(runs()["parent"].info.run_id, here / "down")
    assert packages.read(folder) == contents
    unpickled = [
        path for path in folder.parents[1].rglob("*") if path.suffix in (".pkl", ".pickle")
    ]
    assert unpickled == []
    assert [str(told.message) for told in recwarn if "type hints" in str(told.message)] == []


def test_the_state_changes_with_parameters_code_and_data(
    here: Path, params: Params, tree: dict[str, Any]
) -> None:
    states = [live.state_digest(params)]
    assert live.state_digest(params) == states[0]
    (here / "stages").mkdir()
    (here / "stages" / "split.py").write_text("1")
    (here / "stages" / "of_no_stage.py").write_text("1")
    states.append(live.state_digest(params))
    (here / "mine").mkdir()
    tree["data"].update(source="folder", path="mine")
    states.append(live.state_digest(check(tree)))
    (here / "mine" / "1.png").touch()
    states.append(live.state_digest(check(tree)))
    assert len(set(states)) == 4


@pytest.mark.parametrize("uri", ["postgresql://127.0.0.1:9/none", "http://[bad", "nonsense://x"])
def test_no_address_of_a_server_stops_a_stage(
    uri: str,
    here: Path,
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    show(Record("segment"), params)
    assert capsys.readouterr().err.count("warning: MLflow at") == 1
    assert (here / "reports" / "segment" / "record.json").is_file()
