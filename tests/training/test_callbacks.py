import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.io.partial_results import PartialResults
from seedlings.networks.runtime import keras
from seedlings.params import check
from seedlings.tasks import TASKS
from seedlings.training import fit
from seedlings.training.augmentations import Augmentation
from seedlings.training.batches import Batches
from seedlings.training.params import Finetune


class Killed(BaseException):
    """In the place of kill -9."""


def settings(tree: dict[str, Any], **optimizer: Any) -> Finetune:
    tree["finetune"].update(epochs=6, calibrate=False)
    tree["finetune"]["augment"].update(rotation=90.0, flip_horizontal=0.5, alternating_flips=True)
    tree["finetune"]["optimizer"].update(optimizer)
    return check(tree).finetune


@pytest.mark.slow
@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("patience", [None, 2])
def test_a_training_that_was_killed_ends_with_the_same_weights(
    average: float,
    patience: int | None,
    tree: dict[str, Any],
    tmp_path: Path,
    rng: np.random.Generator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tree["finetune"]["early_stopping"] = patience
    params = settings(tree, average_weights=average, learning_rate=0.05)
    pictures = rng.integers(0, 256, (40, 6, 6, 3), dtype=np.uint8)
    labels = rng.integers(0, 3, 40)
    task = TASKS["multiclass"]

    def train(
        partial: PartialResults, stop: Callable[[int], None]
    ) -> tuple[list[np.ndarray], Record]:
        keras.utils.set_random_seed(0)
        layers = keras.layers
        model = keras.Sequential(
            [
                keras.Input((6, 6, 3)),
                layers.Flatten(),
                layers.Dropout(0.5),
                layers.Dense(3, activation="softmax"),
            ]
        )
        augmentation = Augmentation(params.augment, None, seed=1)
        seen = Batches(pictures, labels, size=16, seed=5, augmentation=augmentation)
        record = Record("finetune", on_epoch=lambda epoch, values: stop(epoch))
        unseen = Batches(pictures[::-1], labels, size=16)
        fit.train_head(
            model, seen, unseen, record=record, task=task, params=params, partial=partial
        )
        return model.get_weights(), record

    def kill(epoch: int) -> None:
        if epoch == 3:
            raise Killed

    expected, curves = train(PartialResults(tmp_path / "a", "k"), lambda epoch: None)
    with pytest.raises(Killed):
        train(PartialResults(tmp_path / "b", "k"), kill)
    found, resumed = train(PartialResults(tmp_path / "b", "k"), lambda epoch: None)
    assert "finetune: 2 epochs were done before" in capsys.readouterr().out
    assert resumed.curves == curves.curves
    for back, weights in zip(found, expected, strict=True):
        assert np.array_equal(back, weights)


def test_a_running_training_shows_each_epoch_and_a_killed_one_ends_with_the_same_files(
    tree: dict[str, Any],
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params, task = settings(tree), TASKS["multiclass"]
    points = rng.normal(size=(32, 4)).astype(np.float32)
    data = Batches(points, rng.integers(0, 3, 32), size=16, seed=5)
    history, metrics = (paths.report("finetune") / name for name in ("history.csv", "metrics.json"))

    def look(epoch: int, values: Any) -> None:
        [*_, row] = pd.read_csv(history).to_dict("records")
        assert (row["epoch"], row["val_loss"]) == (epoch, values["val_loss"])
        assert json.loads(metrics.read_text(encoding="utf-8")) == {
            "last_epoch": {name: row[name] for name in ("epoch", "val_score", "val_loss")}
        }

    def train(folder: str, killed_in: int | None = None) -> dict[Path, bytes]:
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])

        def watch(epoch: int, values: Any) -> None:
            look(epoch, values)
            if epoch == killed_in:
                raise Killed

        write = functools.partial(fit.write_history, task=task, flushed=False)
        record = Record("finetune", after_epoch=write, on_epoch=watch)
        partial = PartialResults(Path("model"), "k")
        fit.train_head(model, data, data, record=record, task=task, params=params, partial=partial)
        fit.write_history(record, task)
        return {path: path.read_bytes() for path in (history, metrics)}

    expected = train("undisturbed")
    with pytest.raises(Killed):
        train("killed", killed_in=3)
    assert len(pd.read_csv(history)) == 3
    assert train("killed") == expected


@pytest.mark.parametrize("pooled", [True, False])
def test_a_second_phase_that_was_killed_ends_with_the_same_weights(
    pooled: bool,
    tree: dict[str, Any],
    tmp_path: Path,
    rng: np.random.Generator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tree["finetune"].update(epochs=2, calibrate=False)
    tree["finetune"]["unfreeze"].update(steps=7, learning_rate=0.01)
    params = check(tree).finetune
    points = rng.normal(size=(32, 4)).astype(np.float32)
    labels = rng.integers(0, 3, 32)

    def train(
        partial: PartialResults, stop: Callable[[int], None]
    ) -> tuple[list[np.ndarray], Record]:
        keras.utils.set_random_seed(0)
        layers = keras.layers
        pixels, image, features = keras.Input((4,)), keras.Input((4,)), keras.Input((5,))
        below = keras.Model(pixels, layers.Dense(5)(pixels), name="below")
        extractor = keras.Model(image, below(image), name="feature_extractor")
        extractor.trainable = False
        dropped = layers.Dropout(0.5)(features)
        head = keras.Model(features, layers.Dense(3, "softmax", name="output")(dropped))
        if pooled:
            model = keras.Model(image, head(extractor(image)))
        else:
            trainable = keras.Model(below.input, below.output, name="trainable_layers")
            model = keras.Model(image, head(trainable(image)))
        record = Record("finetune", on_epoch=lambda epoch, values: stop(epoch))
        data = Batches(points, labels, size=16, seed=5)
        options: dict[str, Any] = {"record": record, "task": TASKS["multiclass"], "params": params}
        fit.train_head(model, data, data, partial=partial, **options)
        if pooled:
            fit.train_unfrozen(model, data, data, cut=None, partial=partial, **options)
        return model.get_weights(), record

    def kill(epoch: int) -> None:
        if epoch == 5:
            raise Killed

    expected, curves = train(PartialResults(tmp_path / "a", "k"), lambda epoch: None)
    assert len(curves.curves["loss"]) == 2 + 4  # 7 batches are about 4 epochs of 2
    with pytest.raises(Killed):
        train(PartialResults(tmp_path / "b", "k"), kill)
    found, resumed = train(PartialResults(tmp_path / "b", "k"), lambda epoch: None)
    assert "finetune: 1 epochs were done before" in capsys.readouterr().out
    assert resumed.curves == curves.curves
    for back, weights in zip(found, expected, strict=True):
        assert np.array_equal(back, weights)
