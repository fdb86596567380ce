"""Measure training in bfloat16 and print the outcome as JSON.

It has a process of its own, as the tests limit oneDNN to AVX2, which cannot compute with bfloat16.
"""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from assembly import FROM_SCRATCH, classifier, composed

from seedlings.config.records import Record
from seedlings.io.partial_results import PartialResults
from seedlings.networks import layers, runtime
from seedlings.networks.runtime import keras, tf
from seedlings.params import Params
from seedlings.tasks import TASKS
from seedlings.training import fit, precision, replicas
from seedlings.training.batches import Batches

TASK = TASKS["multiclass"]
SIZE = (24, 24)


def network() -> "keras.Model":
    """Return a small network with all layers whose precision matters."""
    inputs = keras.Input((8, 8, 3), name="features")
    x = keras.layers.Conv2D(16, 3, use_bias=False)(inputs)
    x = layers.BatchNormalization(momentum=0.5)(x)
    x = keras.layers.Activation("relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = layers.BatchNormalization(momentum=0.5)(x)
    outputs = layers.Dense(4, activation="softmax", name="output")(x)
    return keras.Model(inputs, outputs, name="head")


def main() -> None:
    runtime.prepare(1, 2)
    replicas.use_threads(2, 2)
    results = {
        "outputs": {str(training): _outputs(training) for training in (False, True)},
        "statistics": _statistics(),
        "training": _training(),
    }
    print(json.dumps(results))


def _outputs(training: bool) -> dict[str, Any]:
    images = np.random.default_rng(1).normal(size=(32, 8, 8, 3)).astype(np.float32)
    model = network()
    for weights in model.weights:
        weights.assign(weights + 0.1)
    twin = precision.lowered(model)
    expected, found = (np.asarray(m(images, training=training)) for m in (model, twin))
    moved = [
        float(np.abs(np.subtract(one, other)).max())
        for one, other in zip(model.get_weights(), twin.get_weights(), strict=True)
    ]
    return {
        "dtype": str(found.dtype),
        "difference": float(np.abs(found - expected).max()),
        "weights": max(moved),
    }


def _statistics() -> list[float]:
    """Return mean and variance of 16,384 values 1 and 3, of which bfloat16 cannot count 256."""
    layer = precision.BatchNormalization(momentum=0.0, dtype="mixed_bfloat16")
    values = np.full((64, 16, 16, 8), 1.0, np.float32)
    values[::2] = 3.0
    layer(tf.cast(values, tf.bfloat16), training=True)
    return [float(layer.moving_mean[0]), float(layer.moving_variance[0])]


def _training() -> dict[str, Any]:
    settings = composed(
        "plants_scratch",
        *FROM_SCRATCH,
        "finetune.precision=bfloat16",
        "finetune.convnet.stem_filters=[16]",
        "finetune.convnet.filters=[16,32]",
    )
    model, record = _trained(settings)
    with tempfile.TemporaryDirectory() as folder:
        partial = PartialResults(Path(folder) / "models", "one")
        try:
            _trained(settings, partial, killed=3)
        except KeyboardInterrupt:
            resumed, _ = _trained(settings, partial)
    return {
        "loss": record.curves["loss"],
        "digest": _digest(model),
        "digest after a kill": _digest(resumed),
    }


def _trained(
    settings: Params, partial: PartialResults | None = None, killed: int | None = None
) -> tuple["keras.Model", Record]:
    rng = np.random.default_rng(1)
    labels = np.arange(24) % 3
    images = rng.integers(0, 80, (24, *SIZE, 3)) + 120 * np.eye(3, dtype=int)[labels][:, None, None]
    keras.utils.set_random_seed(5)
    model, record = classifier(settings, SIZE, 3, TASK), Record("finetune")

    def kill(epoch: int, values: Any) -> None:
        if epoch == killed:
            raise KeyboardInterrupt  # in place of a kill between two epochs

    record.on_epoch = kill
    batches = [Batches(images.astype(np.uint8), labels, size=8, seed=seed) for seed in (1, None)]
    fit.train_head(
        model,
        *batches,
        record=record,
        task=TASK,
        params=settings.finetune,
        partial=partial,
    )
    return model, record


def _digest(model: "keras.Model") -> str:
    return hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()


if __name__ == "__main__":
    main()
