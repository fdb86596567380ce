import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from imports import ROOT

from seedlings.errors import SeedlingsError
from seedlings.networks import architectures, models
from seedlings.networks.runtime import keras
from seedlings.tasks import TASKS

_SAVE = """
import sys
from pathlib import Path
import assembly
import yaml
from seedlings import params
from seedlings.networks import models, runtime
from seedlings.networks.runtime import keras
from seedlings.tasks import TASKS
for _ in range(int(sys.argv[2])):
    keras.layers.Dense(2)  # moves Keras' counters of names on
runtime.prepare(5, 1)
tree = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
tree["extract"].update(
    backbone="MobileNetV2", cut="block_12_add", width=1.0, weights="random"
)
tree["finetune"]["regularization"]["kernel"]["l2"] = 0.1
tree["finetune"]["unfreeze"]["epochs"] = 1
model = assembly.classifier(params.check(tree), (32, 32), 3, TASKS["multiclass"])
models.save(model, Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    for name, layers in (("a", "0"), ("b", "3")):
        command = [sys.executable, "-c", _SAVE, str(tmp_path / name), layers]
        env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    for name in ("model.json", "model.weights.h5"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_sizes_count_weights() -> None:
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.BatchNormalization()(keras.layers.Dense(2)(inputs)))
    assert models.sizes(model) == {"weights": 8 + 8, "trainable_weights": 8 + 4}


def test_a_missing_model_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SeedlingsError, match="expected a model in .*run `dvc repro`"):
        models.load(tmp_path / "m")


def dense(*units: int) -> "keras.Model":
    """A network of dense layers named by their number."""
    inputs = x = keras.Input((3,))
    for number, size in enumerate(units):
        x = keras.layers.Dense(size, name=f"layer{number}")(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("units", [(), (2,), (2, 3)])
def test_weights_that_are_not_those_of_the_model_are_refused_with_the_reason_in_one_line(
    units: tuple[int, ...], tmp_path: Path
) -> None:
    dense(*units).save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match=r"^[^\n]+\Z"):
        models.load_weights(dense(2, 4), tmp_path / "a.weights.h5")


def test_a_file_that_has_no_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.weights.h5"
    with pytest.raises(ValueError, match="text.weights.h5"):
        models.load_weights(dense(2), path)
    path.write_text("no weights", encoding="utf-8")
    with pytest.raises(ValueError, match="signature"):
        models.load_weights(dense(2), path)


def test_a_saved_model_is_loaded_with_the_same_outputs_and_without_its_training(
    tmp_path: Path, noise: Callable[..., np.ndarray]
) -> None:
    model = architectures.baseline((40, 40, 3), 3, TASKS["multiclass"])

    def own_loss(labels: object, outputs: object) -> object:
        return keras.ops.mean(outputs)

    model.compile("adam", loss=own_loss)
    images = np.stack([noise(), noise()])
    model.train_on_batch(images, np.array([0, 1]))
    models.save(model, tmp_path / "m")
    loaded = models.load(tmp_path / "m")
    assert np.array_equal(loaded.predict(images, verbose=0), model.predict(images, verbose=0))
    assert {path.name for path in (tmp_path / "m").iterdir()} == {"model.json", "model.weights.h5"}
    assert "adam" not in (tmp_path / "m" / "model.json").read_text(encoding="utf-8").lower()
