import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from imports import ROOT
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.types import DataType

from benchmarks import networks
from seedlings import images
from seedlings.config import params as config
from seedlings.config import paths, pipeline, records
from seedlings.config.records import Record
from seedlings.io.files import write_text
from seedlings.networks import architectures
from seedlings.packaging import bundle
from seedlings.params import Params
from seedlings.serving.predictor import Predictor
from seedlings.tasks import TASKS
from seedlings.tracking import client, run_logger, stage_runs


@pytest.fixture
def here(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's root without code, in which tracking writes."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    while mlflow.active_run():
        mlflow.end_run()


def show(record: Record, digest: str = "") -> bool:
    """Tell the logger of a stage that has two epochs, and leave its outputs as the stage would."""

    def stage() -> Iterator[dict[str, Any]]:
        start = {"stage": record.stage, "params": record.params, "reads": record.reads}
        yield {**start, "tree": config.read(), "time": 1_000}
        record.add_metrics({"x": 0.5})
        for epoch, loss in ((1, 2.0), (2, 1.0)):
            record.add_epoch({"loss": loss})
            yield {"epoch": epoch, "values": {"loss": loss}, "time": 1_000 + epoch}
        picture = record.add_picture(Path("reports") / record.stage / "a.png")
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(b"png")
        file = picture.with_name("record.json")
        record.write(file)
        yield {"finished": digest or stage_runs.record_digest(file), "time": 1_500}

    return run_logger.log(stage())


def edit(key: str, value: Any) -> None:
    """Change a section's parameter in params.yaml."""
    tree = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    section, _, name = key.partition(".")
    tree[section][name] = value
    Path("params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")


def runs() -> dict[str, Run]:
    store = MlflowClient(client.uri())
    experiment = store.get_experiment_by_name("seedlings").experiment_id
    found = store.search_runs([experiment])
    return {run.data.tags.get("seedlings.stage", "parent"): run for run in found}


def test_stages_with_the_same_inputs_of_the_pipeline_share_a_parent(
    here: Path,
) -> None:
    show(Record("segment"))
    show(Record("extract"))
    edit("finetune.epochs", 2)
    show(Record("finetune"))
    found = runs()
    parent_of = {
        stage: run.data.tags["mlflow.parentRunId"]
        for stage, run in found.items()
        if stage != "parent"
    }
    assert parent_of["segment"] == parent_of["extract"] != parent_of["finetune"]


def test_a_stage_that_fails_leaves_a_failed_run(here: Path) -> None:
    start = {"stage": "split", "params": {}, "reads": [], "tree": config.read(), "time": 1_000}
    run_logger.log([start])
    assert runs()["split"].info.status == "FAILED"


def test_runs_have_the_times_of_their_stage(here: Path) -> None:
    show(Record("segment"))
    for run in runs().values():
        assert (run.info.start_time, run.info.end_time) == (1_000, 1_500)


def test_outputs_that_were_replaced_meanwhile_are_not_logged(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not show(Record("segment"), digest="0" * 64)
    assert "the outputs of segment were replaced before they were logged" in capsys.readouterr().err
    assert runs()["segment"].info.status == "RUNNING"  # sync removes it


def test_an_experiment_of_dvc_names_the_parent(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "toned-taw")
    show(Record("segment"))
    assert runs()["parent"].info.run_name == "toned-taw"


@pytest.mark.slow
def test_the_model_that_is_logged_is_the_package(
    here: Path, params: Params, recwarn: pytest.WarningsRecorder
) -> None:
    model = architectures.baseline((20, 20, 3), 2, TASKS["multiclass"])
    segment = {**params.segment.model_dump(), "pixels": [20, 20]}
    contents = networks.contents("multiclass", ["a", "b"], segment)
    networks.package(model, contents, here / "models/packaged")
    tracker = client.Tracker()
    write_text(here / paths.MODEL_CARD, "# Card")
    run = tracker.start("parent", tags={}, params={})
    tracker.log_package(run, here / "models/packaged", here / paths.MODEL_CARD)
    assert tracker.card(runs()["parent"]) == "# Card"
    [output] = runs()["parent"].outputs.model_outputs
    loaded = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    pictures = np.random.default_rng(0).integers(0, 256, (3, 31, 17, 3), dtype=np.uint8)
    files = pd.DataFrame({"image": [images.encode_png(picture) for picture in pictures]})
    expected = Predictor(here / "models/packaged").answer(list(pictures))
    pd.testing.assert_frame_equal(loaded.predict(files), expected)
    assert loaded.metadata.signature.inputs.inputs[0].type == DataType.string
    with pytest.raises(MlflowException, match="image 1: expected an image, found 5 bytes"):
        loaded.predict(pd.DataFrame({"image": [files["image"][0], b"wrong"]}))
    folder = tracker.download_package(runs()["parent"].info.run_id, here / "down")
    assert bundle.read(folder) == contents
    unpickled = [
        path for path in folder.parents[1].rglob("*") if path.suffix in (".pkl", ".pickle")
    ]
    assert unpickled == []
    assert [str(told.message) for told in recwarn if "type hints" in str(told.message)] == []


def test_the_inputs_of_the_pipeline_are_its_parameters_code_and_data(here: Path) -> None:
    tree = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    digests = [run_logger.input_digest(tree, pipeline.read())]

    def is_new() -> bool:
        digests.append(run_logger.input_digest(tree, pipeline.read()))
        return digests[-1] not in digests[:-1]

    for file in ("stages/split.py", "seedlings/plots/charts.py", "requirements.lock"):
        assert not is_new()
        (here / file).parent.mkdir(parents=True, exist_ok=True)
        (here / file).write_text("1")
        assert is_new()
    for file in ("stages/of_no_stage.py", "seedlings/tracking/client.py"):
        (here / file).parent.mkdir(parents=True, exist_ok=True)
        (here / file).write_text("1")
        assert not is_new()
    (here / "mine").mkdir()
    tree["data"] |= {"source": "folder", "path": "mine"}
    assert is_new()
    (here / "mine" / "1.png").touch()
    assert is_new()


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "postgresql://127.0.0.1:9/none", "http://[bad", "nonsense://x"]
)
def test_a_server_that_is_down_costs_one_warning_and_loses_nothing(
    uri: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    show(Record("segment"))
    assert capsys.readouterr().err.count(f"warning: MLflow at {uri}") == 1
    assert records.read(here / "reports" / "segment" / "record.json").curves == {"loss": [2.0, 1.0]}
