from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
