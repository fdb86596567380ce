"""What docs/extending.md promises: a source, a backbone, an augmentation, a task is one entry."""

import hashlib
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

import numpy as np
import pandas as pd
import pytest
import yaml
from dvc.repo import Repo
from imports import ROOT

from seedlings import images
from seedlings.config import params as config
from seedlings.config import paths, pipeline
from seedlings.config.params import Probability
from seedlings.config.records import Record
from seedlings.data.params import Data
from seedlings.data.sources import SOURCES, Collected, Source
from seedlings.evaluation.classes import ClassEvaluator
from seedlings.evaluation.evaluators import Results
from seedlings.io import split_table, store
from seedlings.io.shards import Here
from seedlings.networks import models, runtime
from seedlings.networks.applications import APPLICATIONS, Application, Weights
from seedlings.networks.runtime import keras
from seedlings.params import Params, check
from seedlings.plots import charts
from seedlings.report import summaries
from seedlings.tasks import TASKS, Metric, Multiclass
from seedlings.training import replicas
from seedlings.training.augmentations import Augmentation
from seedlings.training.transformations import Augment, Transformation

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def collect_grades(data: Data, target: Path, seed: int) -> Collected:
    """Images of three grades, the higher the brighter."""
    rng = np.random.default_rng(seed)
    for grade in range(3):
        (target / f"{grade}").mkdir(parents=True)
        for number in range(8):
            image = rng.integers(90 * grade, 90 * grade + 60, (16, 16, 3), dtype=np.uint8)
            path = target / f"{grade}" / f"{number}.png"
            path.write_bytes(images.encode_png(image))
    return Collected()


def build_small(shape: tuple[int, int, int], _width: float, _weights: str | None) -> "keras.Model":
    """Two convolutions."""
    pictures = keras.Input(shape, name="images")
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="first")(pictures)
    return keras.Model(pictures, keras.layers.Conv2D(6, 3, name="second")(x))


class Invert(Transformation):
    """The negative of some of the images."""

    invert: Probability
    neutral: ClassVar = {"invert": 0.0}

    def apply(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return 255.0 - pixels if rng.random() < self.invert else pixels


class WithInvert(Invert, Augment):
    """All transformations, and the negative after them."""


class Graded(Multiclass):
    """One of several classes in an order: a prediction beside the class counts as well."""

    name = "graded"
    metrics = (Metric("within_one", "within one grade"), *Multiclass.metrics)
    evaluator = f"{__name__}:GradedEvaluator"

    def scores(self, predictions: pd.DataFrame, model: str = "finetuned") -> np.ndarray:
        gap = predictions[model].astype(int) - predictions["label"].astype(int)
        return (gap.abs() <= 1).to_numpy(dtype=np.float64)


class GradedEvaluator(ClassEvaluator):
    """Evaluates predictions of a grade."""

    def summary(self, outputs: np.ndarray) -> dict[str, float]:
        near = np.abs(outputs.argmax(axis=1) - self.truth) <= 1
        return {"within_one": float(near.mean()), **super().summary(outputs)}

    def draw(self, results: Results, report: Path) -> list[Path]:
        charts.bars({n: [float(o.max())] for n, o in results.items()}, ["a"], "", report / "g.png")
        return [report / "g.png", *super().draw(results, report)]

    def trivial(self) -> dict[str, float]:
        near = np.abs(np.bincount(self.seen).argmax() - self.truth) <= 1
        return {"majority/within_one": float(near.mean()), **super().trivial()}


@pytest.fixture
def extended(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Params]:
    """Register one of each kind; returns a function for parameters that name them."""
    file = tmp_path / "small.weights.h5"
    keras.utils.set_random_seed(1)
    build_small((16, 16, 3), 1.0, None).save_weights(file)
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    small = Application(
        build_small,
        lambda images: images / 255.0,
        {"mine": Weights(str(file), checksum)},
        cut="first",
        layers=("first", "second"),
    )
    monkeypatch.setitem(SOURCES, "grades", Source(collect_grades))
    monkeypatch.setitem(APPLICATIONS, "Small", small)
    monkeypatch.setitem(TASKS, "graded", Graded())

    def make(unfrozen: int, **extract: str) -> Params:
        tree["task"] = "graded"
        tree["data"]["source"] = "grades"
        tree["split"] |= {"rule": "share", "duplicate_distance": None}
        tree["segment"] |= {"method": "none", "pixels": [16, 16]}
        tree["extract"] |= {"backbone": "Small", "cut": None, "weights": "mine"} | extract
        tree["baseline"]["epochs"] = 1
        tree["finetune"] |= {"epochs": 2, "early_stopping": None}
        tree["finetune"]["unfreeze"]["epochs"] = unfrozen
        tree["package"]["tta"] = 1 + unfrozen
        tree["evaluate"] |= {"bootstrap_samples": 100, "mistakes": 2}
        tree["explain"] |= {"steps": 1, "images": 1, "smoothgrad_samples": 1}
        found = check(tree)
        own = tree["finetune"]["augment"] | {"invert": 0.5}
        augment = WithInvert.model_validate(own)
        return found.model_copy(
            update={"finetune": found.finetune.model_copy(update={"augment": augment})}
        )

    return make


def run(stage: str, params: Params) -> Record:
    """Run the function of a stage in the current folder."""
    main = import_module(f"stages.{stage}").main
    values = {"engine": Here()} | {name: getattr(params, name) for name in Params.model_fields}
    every = config.flatten(params.model_dump())
    record = Record(stage, pipeline.read().declared(stage, every))
    main(record, **{name: values[name] for name in get_type_hints(main) if name in values})
    record.write(paths.record(stage))
    return record


@pytest.mark.slow
@pytest.mark.parametrize(("pooling", "unfrozen"), [("none", 0), ("average", 0), ("average", 1)])
def test_a_source_a_backbone_a_transformation_and_a_task_are_one_entry_each(
    pooling: str,
    unfrozen: int,
    extended: Callable[..., Params],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "data").mkdir()
    for name in ("seedlings", "stages", "dvc.yaml", "requirements.lock", "data/corrections.csv"):
        (project / name).symlink_to(ROOT / name)
    monkeypatch.chdir(project)
    Repo.init(no_scm=True)
    monkeypatch.setattr(runtime, "prepare", lambda seed, threads: keras.utils.set_random_seed(seed))
    monkeypatch.setattr(replicas, "use_threads", lambda threads, parts: None)
    params = extended(unfrozen, pooling=pooling)
    records = {stage: run(stage, params) for stage in STAGES}

    assert records["download"].details["files"] == {"0": 8, "1": 8, "2": 8}
    if pooling == "none":
        architecture = json.loads(Path("models/backbone/trainable_layers/model.json").read_text())
        layers = [layer["config"]["name"] for layer in architecture["config"]["layers"]]
        assert layers[1:] == ["second"]
    else:
        assert store.shape(paths.FEATURES) == (24, 4 + 6)
    packaged = models.load(paths.PACKAGED)
    assert bool(packaged.get_layer("feature_extractor").trainable_weights) == bool(unfrozen)
    table = split_table.read(paths.SPLIT)
    with store.unpacked(paths.IMAGES, split_table.rows(table, "test")) as pictures:
        answers = packaged.predict(np.asarray(pictures), verbose=0)
    np.testing.assert_allclose(answers, np.load(paths.OUTPUTS), atol=1e-5)
    own = Augmentation(params.finetune.augment, None, 1)
    assert own.active == ["invert"]
    image = np.full((4, 4, 3), 55, np.uint8)
    negatives = {int(own.one(image, np.random.default_rng(n))[0, 0, 0]) for n in range(9)}
    assert negatives == {55, 200}
    assert "reports/evaluate/figures/augmentations.png" in records["evaluate"].pictures
    metrics = records["evaluate"].metrics
    assert next(iter(metrics)) == "finetuned/within_one"
    assert summaries.lines(metrics)[0].title == "within one grade"
    assert "**within one grade " in paths.MODEL_CARD.read_text(encoding="utf-8")
    page = Path("reports/index.html").read_text(encoding="utf-8")
    assert "finetuned, within one grade" in page
    assert "<figcaption>g</figcaption>" in page
