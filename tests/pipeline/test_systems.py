"""Every system's preset, end to end, on small data that is drawn here."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import drawings
import numpy as np
import pandas as pd
import pytest
from imports import ROOT
from project import Project
from sklearn.datasets import load_digits

from benchmarks import networks
from seedlings import images, params, presets
from seedlings.config import paths, records
from seedlings.config.records import Record
from seedlings.data import sample
from seedlings.networks import backbones, models
from seedlings.networks.runtime import keras
from seedlings.serving import predictions
from seedlings.serving.predictor import Predictor
from seedlings.tasks import TASKS
from seedlings.training import fit
from seedlings.training.batches import Batches

pytestmark = pytest.mark.slow


@pytest.fixture
def project(new_project: Callable[[], Project]) -> Project:
    return new_project()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def evaluated(project: Project, preset: str, **changes: Any) -> dict[str, Any]:
    """Run a preset with changes; return the metrics of its evaluation, by model.

    Labels are not checked: test_repro.py has a list of doubtful labels.
    """
    everything = {"evaluate__doubtful_labels": 0, **changes}
    options = [f"{key.replace('__', '.')}={value}" for key, value in everything.items()]
    project.run("seedlings", "preset", "--drop", preset, *options)
    project.run_stages("evaluate")
    path = project.root / "reports" / "evaluate" / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    record = records.read(project.root / paths.record("evaluate"))
    for name, value in metrics["finetuned"].items():
        assert record.metrics[f"finetuned/{name}"] == value
    return metrics


def finetuned(project: Project) -> "keras.Model":
    return models.load(project.root / "models" / "finetuned")


def answers_agree(project: Project, column: str) -> None:
    """The packaged model says the same of the files of the test images as evaluate's table.

    The published pipeline scaled training images alone, which cost it 70 of 92 points.
    """
    table = pd.read_csv(project.root / "reports" / "evaluate" / "predictions.csv")
    files = [project.root / "data" / "raw" / path for path in table["path"]]
    found, bad = predictions.of_files(Predictor(project.root / paths.PACKAGED), files)
    assert bad == []
    if column == "probability":
        assert found["prediction"].astype(str).tolist() == table["finetuned"].astype(str).tolist()
        expected = table["finetuned_probability"]
    else:
        expected = table["finetuned"]
    np.testing.assert_allclose(found[column], expected, atol=1e-5)


def drawn(project: Project) -> set[str]:
    """The figures of the evaluation, all of which `dvc plots show` shows, without an error."""
    shown = json.loads(project.run("dvc", "plots", "show", "--json"))
    assert "errors" not in shown
    names = {path.name for path in (project.root / "reports/evaluate/figures").iterdir()}
    assert names == {Path(name).name for name in shown["data"] if name.endswith(".png")}
    return names


@pytest.fixture(scope="module")
def digits(once: Callable[..., Callable[[], Project]]) -> Project:
    """A project with the results of the preset `digits`."""

    def prepare(project: Project) -> str:
        evaluated(project, "digits")
        return ""

    return once("digits", prepare)()


def test_digits_with_the_mnist_network(digits: Project) -> None:
    metrics = records.read(digits.root / paths.record("evaluate")).metrics
    assert finetuned(digits).count_params() == 3730
    assert 292 <= metrics["images"] <= 427  # within four standard deviations of a fifth of 1,797
    assert metrics["finetuned/accuracy"] > 0.97


def test_the_packaged_model_answers_as_evaluate_also_with_copies(
    digits: Project,
) -> None:
    answers_agree(digits, "probability")
    digits.set(package__tta=8)
    for stage in ("package", "evaluate"):
        digits.run("python", "-m", "seedlings.run", stage)
    answers_agree(digits, "probability")


AUGMENTED = ("finetune.epochs=2", "finetune.replicas=2")
MNIST_VARIANTS = [
    ["finetune.optimizer.name=sgd", "finetune.optimizer.learning_rate=0.01"],
    [
        "finetune.optimizer.learning_rate=0.002",
        "finetune.optimizer.beta_1=0.8",
        "finetune.optimizer.beta_2=0.99",
        "finetune.optimizer.epsilon=1.0e-06",
    ],
    *(
        [f"finetune.regularization.{part}.{norm}=0.01"]
        for part in ("kernel", "bias", "activity")
        for norm in ("l1", "l2")
    ),
    ["finetune.convnet.dropout=0.2"],
    ["finetune.convnet.batch_normalization=after_pool"],
]


@pytest.mark.parametrize("changes", MNIST_VARIANTS, ids=lambda changes: changes[-1][9:])
def test_every_variant_of_the_mnist_network_learns(
    changes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    settings = params.check(presets.compose(["digits", *changes]))
    keras.utils.set_random_seed(0)
    backbone = backbones.build(settings.extract, 28, 28)
    task = TASKS["multiclass"]
    own = settings.finetune.model_copy(update={"epochs": 4})
    model = networks.classifier(backbone, 10, task, own)
    digits = load_digits()
    pixels = (digits.images * (255 / 16)).astype(np.uint8)
    small = np.stack([images.resize(one[:, :, None].repeat(3, 2), 28, 28) for one in pixels])
    seen = Batches(small[:1200], digits.target[:1200], size=32, seed=0)
    unseen = Batches(small[1200:], digits.target[1200:], size=32)
    record = Record("finetune")
    fit.train_head(model, seen, unseen, record=record, task=task, params=own)
    losses = record.curves["loss"]
    assert losses[-1] < losses[0]
    weak = any("l1=" in change for change in changes)  # it underfits, as published
    assert record.curves["val_accuracy"][-1] > (0.15 if weak else 0.6)


def test_augmented_training_gives_the_same_bytes_twice(digits: Project) -> None:
    digits.run("seedlings", "preset", "--drop", "digits", "augment=sequence", *AUGMENTED)
    digits.in_process = False  # two replicas need other threads than this process has
    weights = []
    for _ in range(2):
        digits.run("python", "-m", "seedlings.run", "finetune")
        weights.append((digits.root / "models/finetuned/model.weights.h5").read_bytes())
    assert weights[0] == weights[1]


def test_mnist_from_a_file_of_keras_layout(project: Project, tmp_path: Path) -> None:
    digits = load_digits()
    pictures = digits.images.repeat(3, axis=1).repeat(3, axis=2) * (255 / 16)
    pictures = np.pad(pictures.astype(np.uint8), ((0, 0), (2, 2), (2, 2)))
    file = tmp_path / "mnist.npz"
    labels = digits.target
    np.savez(
        file,
        x_train=pictures[:400],
        y_train=labels[:400],
        x_test=pictures[400:500],
        y_test=labels[400:500],
    )
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    source = {"data__path": file, "data__url": "null", "data__checksum": checksum}
    metrics = evaluated(
        project,
        "mnist",
        **source,
        split__validation_share=0.125,
        finetune__epochs=12,
    )
    table = pd.read_csv(project.root / "data" / "split.csv")
    sizes = table["split"].value_counts()
    assert sizes["test"] == 100
    assert sizes["train"] + sizes["validation"] == 400
    assert abs(sizes["validation"] - 50) <= 4 * (400 * 0.125 * 0.875) ** 0.5
    assert finetuned(project).count_params() == 3730
    assert metrics["images"] == 100
    assert metrics["finetuned"]["accuracy"] > 0.5


def test_horses_or_humans(project: Project, tmp_path: Path, rng: np.random.Generator) -> None:
    shapes = {"horses": "cross", "humans": "disc"}
    drawings.write_folders(tmp_path, {"train": 8, "validation": 3}, shapes, 300, rng)
    metrics = evaluated(
        project,
        "horses_or_humans",
        data__path=tmp_path,
        split__test_share=0.25,
        baseline__epochs=2,
        finetune__epochs=1,
    )
    table = pd.read_csv(project.root / "data" / "split.csv")
    kept = table["path"].str.startswith("validation/")
    assert (table["split"] == "validation").tolist() == kept.tolist()
    assert set(table.loc[table["split"] == "test", "label"]) == set(shapes)
    assert set(table.loc[table["split"] == "train", "label"]) == set(shapes)
    model = finetuned(project)
    assert model.count_params() == 40_165_409
    assert model.output_shape == (None, 1)
    predicted = pd.read_csv(project.root / "reports" / "evaluate" / "predictions.csv")
    assert set(predicted["finetuned"]) <= set(shapes)
    right = (predicted["finetuned"] == predicted["label"]).mean()
    assert metrics["finetuned"]["accuracy"] == right
    answers_agree(project, "probability")


def test_cats_vs_dogs(project: Project, tmp_path: Path, rng: np.random.Generator) -> None:
    shapes = {"cats": "square", "dogs": "disc"}
    drawings.write_folders(tmp_path, {"train": 8, "validation": 3}, shapes, 256, rng)
    evaluated(
        project,
        "cats_vs_dogs",
        data__path=tmp_path,
        split__test_share=0.3,
        extract__weights="random",
        baseline__epochs=2,
        finetune__epochs=1,
    )
    model = finetuned(project)
    picture = rng.integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    outside = picture.copy()
    outside[:, :16], outside[:, :, -16:] = 0, 255
    before, after = model.predict(picture, verbose=0), model.predict(outside, verbose=0)
    assert np.array_equal(before, after)  # prediction sees the centre alone
    assert (project.root / "reports" / "evaluate" / "figures" / "augmentations.png").exists()


def test_driving(project: Project, tmp_path: Path, rng: np.random.Generator) -> None:
    drawings.write_drive(tmp_path, 240, rng)
    own = {"data__annotations__block": 6, "baseline__epochs": 2, "finetune__epochs": 9}
    metrics = evaluated(project, "driving", data__path=tmp_path, **own)
    table = pd.read_csv(project.root / "data" / "split.csv")
    assert 20 < table["group"].nunique() < 80
    assert table.groupby("group")["split"].nunique().max() == 1
    assert metrics["finetuned"]["r2"] > 0.8
    assert metrics["finetuned"]["mae"] < metrics["mean"]["mae"]
    model = finetuned(project)
    picture = drawings.road(0.3, rng)[None]
    changed = picture.copy()
    changed[:, :50], changed[:, -20:] = 0, 255
    assert np.array_equal(model.predict(picture, verbose=0), model.predict(changed, verbose=0))
    assert drawn(project) >= {"predicted.png", "finetuned_mistakes.png", "finetune_curves.png"}
    assert "finetuned" in project.run("seedlings", "summary")
    answers_agree(project, "prediction")


def test_multilabel(project: Project, tmp_path: Path, rng: np.random.Generator) -> None:
    drawings.write_tagged(tmp_path, 120, rng)
    metrics = evaluated(
        project,
        "multilabel",
        data__path=tmp_path,
        segment__pixels="[48,48]",
        extract__weights="random",
    )
    model = finetuned(project)
    assert model.output_shape == (None, 3)
    assert "block5_conv1" not in str(model.to_json())  # taken off
    assert metrics["finetuned"]["f2"] > metrics["majority"]["f2"]
    assert drawn(project) >= {"tags.png", "reliability.png", "finetuned_mistakes.png"}
    predicted = pd.read_csv(project.root / "reports" / "evaluate" / "predictions.csv")
    assert predicted["finetuned_f2"].mean() == pytest.approx(metrics["finetuned"]["f2"], abs=1e-6)


def test_plants_from_an_archive_with_weights_of_a_file(project: Project, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "plants.zip", "w") as archive:
        for number, species in enumerate(sample.SPECIES[:3]):
            for place in range(20):
                picture, _ = sample.draw_numbered(number, place, seed=1, size=64)
                name = f"train/{species.name}/{place}.png"
                archive.writestr(name, images.encode_png(picture))
    network = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    weights = tmp_path / "vgg16_notop.weights.h5"
    network.save_weights(weights)
    metrics = evaluated(
        project,
        "plants",
        data__url="null",
        data__path=tmp_path / "plants.zip",
        split__validation_per_class=3,
        extract__weights=weights,
        extract__checksum=hashlib.sha256(weights.read_bytes()).hexdigest(),
        segment__pixels="[48,48]",
    )
    extractor = finetuned(project).get_layer("feature_extractor")
    for found, expected in zip(extractor.get_weights(), network.get_weights(), strict=True):
        assert np.array_equal(found, expected)
    assert "p_value" in metrics["mcnemar"]
