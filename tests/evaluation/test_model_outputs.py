from pathlib import Path
from typing import Any

import assembly
import numpy as np
import pandas as pd
import pytest

from benchmarks import arrays, networks
from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.evaluation import model_outputs
from seedlings.io import split_table
from seedlings.io.files import write_csv
from seedlings.networks import architectures, models, runtime
from seedlings.networks.runtime import keras
from seedlings.params import check
from seedlings.tasks import TASKS
from stages import evaluate


@pytest.mark.parametrize(
    ("stored", "trained", "split", "expected"),
    [
        (True, False, "test", [0.0, 0.0]),
        (True, True, "test", [50.0, 90.0]),  # 10 * (2 + 3), 10 * (4 + 5)
        (False, False, "test", [50.0, 90.0]),
        (False, False, "validation", [130.0]),  # 10 * (6 + 7)
    ],
)
def test_the_finetuned_model_takes_features_where_they_are_stored_and_its_own(
    stored: bool, trained: bool, split: str, expected: list[float], tmp_path: Path
) -> None:
    """The stored features are others if the feature extractor has been trained since."""
    inputs, image = keras.Input((2,)), keras.Input((2,))
    head = keras.Model(inputs, keras.layers.Dense(1, name="output")(inputs), name="head")
    head.set_weights([np.ones((2, 1)), np.zeros(1)])
    times = keras.layers.Dense(2, use_bias=False)
    extractor = keras.Model(image, times(image), name="feature_extractor")
    extractor.set_weights([10.0 * np.eye(2)])
    extractor.trainable = trained
    pixels = keras.Input((2,))
    models.save(keras.Model(pixels, head(extractor(pixels))), tmp_path / "model")
    whole = models.load(tmp_path / "model")
    arrays.write(tmp_path / "images", np.arange(8, dtype=np.float32).reshape(4, 2))
    arrays.write(tmp_path / "features", np.zeros((4 if stored else 0, 2), np.float32))
    table = pd.DataFrame({"label": list("abab"), "split": ["train", "test", "test", "validation"]})
    outputs = model_outputs.predict_finetuned(
        whole, tmp_path / "features", tmp_path / "images", table, TASKS["binary"], split=split
    )
    assert outputs[:, 0].tolist() == expected
    with model_outputs.embedded(
        whole, tmp_path / "features", tmp_path / "images", table, TASKS["binary"], split=split
    ) as found:
        assert found.sum(axis=1).tolist() == expected


@pytest.mark.slow
def test_the_outputs_that_explain_reads_depend_on_no_parameter_of_a_statistic(
    tmp_path: Path, tree: dict[str, Any], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime, "prepare", lambda seed, threads: None)  # once for each process
    tree["extract"]["width"] = 0.05
    tree["evaluate"]["doubtful_labels"] = 0
    params, task = check(tree), TASKS["multiclass"]
    pictures = rng.integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    names = arrays.write(paths.IMAGES, pictures)
    arrays.write(paths.FEATURES, np.zeros((0, 1), np.float32))
    table = pd.DataFrame({"label": list("abc") * 3, "split": ["train"] * 3 + ["test"] * 6})
    table = table.assign(path=[f"{n}.png" for n in range(9)], group=range(9))
    split_table.write(table.assign(digest=names.astype(str)), paths.SPLIT)
    models.save(architectures.baseline((32, 32, 3), 3, task), paths.BASELINE)
    finetuned = assembly.classifier(params, (32, 32), 3, task)
    segment = params.segment.model_dump()
    contents = networks.contents("multiclass", list("abc"), segment)
    networks.package(finetuned, contents, paths.PACKAGED)
    for stage in ("baseline", "finetune"):
        curves = pd.DataFrame([[1, 1, 1, 1]], columns=["loss", "val_loss", "score", "val_score"])
        write_csv(paths.report(stage) / "history.csv", curves)

    def run(**changes: float) -> tuple[bytes, dict[str, float]]:
        record = Record("evaluate")
        own = params.evaluate.model_copy(update=changes)
        evaluate.main(
            record, evaluate=own, finetune=params.finetune, seed=1, task="multiclass", threads=2
        )
        return paths.OUTPUTS.read_bytes(), record.metrics

    (before, metrics), (after, others) = run(), run(bootstrap_samples=200, confidence=0.8)
    assert metrics != others
    assert before == after
    np.testing.assert_allclose(
        np.load(paths.OUTPUTS), finetuned.predict(pictures[3:], verbose=0), atol=1e-6
    )
