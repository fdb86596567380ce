"""The pipeline as its users run it: `dvc repro`, on a copy of the project."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image as PillowImage
from project import STAGES, Project

from benchmarks.model_servers import png_that_claims
from seedlings import images
from seedlings.config import paths, records
from seedlings.data import sample
from seedlings.io import store
from seedlings.packaging import bundle
from seedlings.serving import predictions
from seedlings.serving.predictor import Predictor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(reproduced: Callable[[], Project]) -> Project:
    """The small project, which no test changes."""
    return reproduced()


@pytest.fixture
def changed(reproduced: Callable[[], Project]) -> Project:
    """The small project, for a test that changes it."""
    return reproduced()


@pytest.fixture
def empty_project(new_project: Callable[[], Project]) -> Project:
    return new_project()


def lock(project: Project) -> dict[str, Any]:
    return yaml.safe_load((project.root / "dvc.lock").read_text(encoding="utf-8"))


def test_the_commands_of_dvc_work(project: Project) -> None:
    shown = json.loads(project.run("dvc", "metrics", "show", "--json"))
    metrics = shown[""]["data"]["reports/evaluate/metrics.json"]
    path = project.root / "reports" / "evaluate" / "metrics.json"
    assert metrics["data"] == json.loads(path.read_text(encoding="utf-8"))
    expected = {"images", "groups", "baseline", "finetuned", "majority", "mcnemar"}
    assert set(metrics["data"]) == expected | {"out_of_distribution"}
    assert "finetune" in project.run("dvc", "dag")
    project.run("dvc", "plots", "show")
    page = (project.root / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    assert "Shepherd’s Purse" in page or "Shepherd\\u2019s Purse" in page
    assert "val_loss" in page


def test_every_image_is_accounted_for_and_names_survive(project: Project) -> None:
    table = pd.read_csv(project.root / "data" / "split.csv")
    assert len(table) == 12 * 20
    assert set(table["label"]) == {species.name for species in sample.SPECIES}
    assert table.groupby("group")["split"].nunique().max() == 1
    assert table["group"].nunique() == 12 * 19
    assert store.shape(project.root / paths.IMAGES) == (240, 64, 64, 3)
    assert store.shape(project.root / paths.FEATURES)[0] == 240
    predictions = pd.read_csv(project.root / "reports" / "evaluate" / "predictions.csv")
    assert sorted(predictions["path"]) == sorted(table.loc[table["split"] == "test", "path"])


def test_validation_images_are_evaluated_in_place_of_test_images_also_with_several_copies(
    changed: Project,
) -> None:
    changed.set(evaluate__split="validation", package__tta=8)
    assert changed.ran(changed.repro()) == ["package", "evaluate", "explain", "report"]
    table = pd.read_csv(changed.root / "data" / "split.csv")
    expected = table[table["split"] == "validation"]
    written = pd.read_csv(changed.root / "reports" / "evaluate" / "predictions.csv")
    assert written["path"].tolist() == expected["path"].tolist()
    assert written["label"].tolist() == expected["label"].tolist()
    files = [changed.root / paths.RAW / path for path in expected["path"]]
    found, _ = predictions.of_files(Predictor(changed.root / paths.PACKAGED), files)
    assert written["finetuned"].tolist() == found["prediction"].tolist()
    assert found["probability"].to_numpy() == pytest.approx(
        written["finetuned_probability"].to_numpy(), abs=1e-5
    )
    record = records.read(changed.root / paths.record("evaluate"))
    assert record.metrics["images"] == len(expected) == 12 * 3
    correct = found["prediction"].to_numpy() == expected["label"].to_numpy()
    assert record.metrics["finetuned/accuracy"] == pytest.approx(correct.mean())
    for stage in ("evaluate", "explain"):
        declared = records.read(changed.root / paths.record(stage)).params
        assert declared["evaluate.split"] == "validation"
    page = (changed.root / paths.PAGE).read_text(encoding="utf-8")
    doubtful = pd.read_csv(changed.root / "reports" / "evaluate" / "doubtful_labels.csv")
    assert set(doubtful["path"]) <= set(table.loc[table["split"] != "test", "path"])
    checked = (table["split"] != "test").sum()
    assert f"<p>{len(doubtful)} of {checked} labels of the training and validation images" in page
    assert "On 36 validation images that no model was trained on." in page
    assert "calibration, so these metrics tend to be better than those on test images.</p>" in page


def test_the_served_model_has_the_settings_of_the_processor_of_the_stages(project: Project) -> None:
    assert bundle.read(project.root / paths.PACKAGED).portable
    for stage in STAGES:
        declared = records.read(project.root / paths.record(stage)).params
        assert declared.get("portable", True), stage
    table = pd.read_csv(project.root / "reports" / "evaluate" / "predictions.csv")
    files = [project.root / paths.RAW / path for path in table["path"]]
    found, bad = predictions.of_files(Predictor(project.root / paths.PACKAGED), files)
    assert bad == []
    assert found["prediction"].tolist() == table["finetuned"].tolist()
    assert found["probability"].to_numpy() == pytest.approx(
        table["finetuned_probability"].to_numpy(), abs=1e-5
    )


def test_every_picture_that_a_record_names_is_there(project: Project) -> None:
    named = []
    for stage in STAGES:
        text = (project.root / paths.record(stage)).read_text(encoding="utf-8")
        named += json.loads(text)["pictures"]
    assert named.pop() == "reports/index.html"
    assert len(named) == 14
    for name in named:
        assert images.read(project.root / name).std() > 5, name


def test_the_report_has_every_picture_inside_and_every_class(project: Project) -> None:
    page = project.root / paths.PAGE
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 5_000_000
    sources = re.findall(r'<img[^>]* src="([^"]{20})', text)
    assert sources == ["data:image/webp;base"] * 14
    assert "://" not in re.sub(r"data:[^\"]*", "", text)
    for species in sample.SPECIES:
        assert species.name in text
    metrics = records.read(project.root / paths.record("evaluate")).metrics
    assert f"{metrics['finetuned/accuracy']:.4f}" in text
    assert "finetune.head.dropout" in text


def test_outputs_hold_nothing_of_time_or_place(project: Project) -> None:
    for path in (project.root / "reports").rglob("*"):
        if path.suffix in (".json", ".csv", ".md"):
            text = path.read_text(encoding="utf-8")
            assert str(project.root) not in text, path
            assert not re.search(r"20\d\d-\d\d-\d\d", text), path


def test_the_model_card_names_the_split_as_dvc_lock_does(project: Project) -> None:
    outs = {out["path"]: out["md5"] for out in lock(project)["stages"]["split"]["outs"]}
    card = (project.root / paths.MODEL_CARD).read_text(encoding="utf-8")
    assert f"`{outs['data/split.csv']}`" in card
    metrics = json.loads((project.root / "reports/evaluate/metrics.json").read_text("utf-8"))
    assert f"accuracy {metrics['finetuned']['accuracy']:.4f} (" in card


def test_mlflow_has_the_stages_under_a_parent_with_the_final_numbers(project: Project) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("seedlings")
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time"])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    first = parents[0]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == first.info.run_id]
    assert [run.info.run_name for run in children][: len(STAGES)] == STAGES
    assert {"baseline/accuracy", "finetuned/accuracy"} <= set(first.data.metrics)
    assert first.data.params["segment.method"] == "excess_green"
    commit = project.run("git", "rev-parse", "HEAD~1").strip()  # the last one before the results
    for run in children:
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.source.git.commit"] == commit
    outs = {out["path"]: out["md5"] for out in lock(project)["stages"]["split"]["outs"]}
    inputs = {
        entry.dataset.name: entry.dataset.digest for entry in children[2].inputs.dataset_inputs
    }
    assert inputs["data/split.csv"] == outs["data/split.csv"]
    finetune = client.get_metric_history(children[5].info.run_id, "val_loss")
    assert [point.step for point in finetune] == [1, 2, 3]


def outputs(project: Project) -> dict[str, str]:
    entries = lock(project)["stages"].values()
    return {out["path"]: out["md5"] for entry in entries for out in entry["outs"]}


def test_ordinary_processes_give_the_same_bytes_in_a_clone(
    project: Project, tmp_path: Path
) -> None:
    clone = Project(tmp_path / "clone")
    project.run("git", "clone", "--quiet", str(project.root), str(clone.root))
    (clone.root / "dvc.lock").unlink()
    clone.in_process = False
    assert clone.ran(clone.repro()) == STAGES
    assert outputs(clone) == outputs(project)
    clone.in_process = True
    assert "1 new" in clone.run("seedlings", "sync")


def broken_folder(project: Project, image_folder: Callable[..., Path]) -> Path:
    folder = image_folder({"Maize": 12, "Sugar beet": 12})
    shutil.copytree(folder, project.root / "mine")
    project.set(
        data__source="folder",
        data__path="mine",
        split__validation_per_class=2,
        split__duplicate_distance=None,
    )
    return project.root / "mine"


def test_what_a_messy_folder_holds_is_all_listed_and_can_be_skipped(
    empty_project: Project, image_folder: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    mine = broken_folder(empty_project, image_folder)
    turned = PillowImage.Exif()
    turned[0x0112] = 6
    picture = PillowImage.fromarray(noise(30, 50))
    good = {
        "Maize/UPPER.PNG": images.encode_png(noise()),
        "Maize/really a png.jpg": images.encode_png(noise()),
        "Maize/tiny.png": images.encode_png(noise(1, 1)),
    }
    bad = {
        "Maize/notes.txt": (b"not an image", "expected an image"),
        "Maize/zero.png": (b"", "found an empty file"),
        "Maize/huge.png": (png_that_claims(20_000, 20_000), "at most 150,000,000 pixels"),
        "Sugar beet/half.png": (images.encode_png(noise())[:300], "expected a whole image"),
    }
    for name, data in {**good, **{name: data for name, (data, _) in bad.items()}}.items():
        (mine / name).write_bytes(data)
    picture.save(mine / "Maize" / "turned.jpg", exif=turned)
    (mine.parent / "outside.png").write_bytes(images.encode_png(noise()))
    (mine / "Maize" / "linked.png").symlink_to(mine.parent / "outside.png")
    output = empty_project.repro("split", fails=True)
    assert "split: 4 files cannot be used as images:" in output
    for name, (_, reason) in bad.items():
        assert re.search(rf"data/raw/{name}: .*{reason}", output), name
    assert "data.on_bad_image" in output
    assert "Traceback" not in output
    assert not (empty_project.root / "data" / "split.csv").exists()

    (mine / "Maize" / "line\nbreak.png").write_bytes(images.encode_png(noise()))
    (mine / "Maize" / "circular").symlink_to(mine)
    (mine / "Maize" / "dangling.png").symlink_to(mine / "nowhere")
    assert "dangling.png" in empty_project.repro("split", fails=True)  # which DVC itself refuses
    (mine / "Maize" / "dangling.png").unlink()
    output = empty_project.repro("split", fails=True)
    assert "line\\nbreak.png': its name holds a control character" in output
    assert "circular: a dangling link, a linked folder or a device" in output
    assert "Traceback" not in output

    empty_project.set(data__on_bad_image="skip")
    output = empty_project.repro("split")
    assert "skipped: data/raw/Maize/notes.txt" in output
    found = {
        stage: records.read(empty_project.root / paths.record(stage))
        for stage in ("download", "split")
    }
    assert [found[stage].metrics["skipped"] for stage in found] == [2, 4]
    assert [len(found[stage].details["skipped"]) for stage in found] == [2, 4]
    assert found["split"].metrics["images"] == 24 + len(good) + 2


def test_bad_archives_and_parameters_stop_with_a_clear_error_and_leave_nothing(
    empty_project: Project, image_folder: Callable[..., Path]
) -> None:
    archive = shutil.make_archive(
        str(empty_project.root / "mine"), "zip", image_folder({"a": 3, "b": 3})
    )
    half = Path(archive).read_bytes()
    (empty_project.root / "half.zip").write_bytes(half[: len(half) // 2])
    empty_project.set(data__source="archive", data__path="mine.zip")
    for change, message in (
        ({"data__checksum": "sha256:" + "0" * 64}, "expected the sha256 checksum 0000"),
        ({"data__checksum": None, "data__path": "half.zip"}, "expected a whole zip or tar"),
        ({"data__path": "README.md"}, "expected a whole zip or tar"),
        ({"data__path": "mine.zip", "data__folder": "train"}, "in its folder 'train'"),
        ({"data__folder": None, "data__soruce": "x"}, "data.soruce: no such parameter"),
    ):
        empty_project.set(**change)
        output = empty_project.repro("download", fails=True)
        assert message in output
        assert "Traceback" not in output
        left = [path.name for path in (empty_project.root / "data").iterdir()]
        assert sorted(left) == [".gitignore", "corrections.csv", "incoming"]


def test_a_layer_that_is_not_there_stops_extract(changed: Project) -> None:
    changed.set(extract__cut="block6_pool")
    output = changed.repro(fails=True)
    assert "extract: extract.cut: the backbone has no layer 'block6_pool'" in output
    assert "Traceback" not in output
    assert not (changed.root / paths.FEATURES).exists()
    changed.set(extract__cut="block3_pool")
    assert changed.ran(changed.repro()) == []


def test_block_5_is_trained_on_features_of_block_4(changed: Project) -> None:
    changed.set(
        extract__cut="block4_pool",
        extract__layers=None,
        extract__pooling="none",
        finetune__epochs=1,
        finetune__unfreeze__epochs=1,
    )
    assert changed.ran(changed.repro("finetune")) == ["extract", "finetune"]
    history = pd.read_csv(changed.root / "reports" / "finetune" / "history.csv")
    assert history["epoch"].tolist() == [1, 2]
    assert store.shape(changed.root / paths.FEATURES) == (240, 4, 4, 32)
