"""Models on disk: the architecture as JSON beside the weights, the same bytes on every save."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedlings.errors import SeedlingsError
from seedlings.io.files import replacing
from seedlings.networks.runtime import keras, tf

_JSON = "model.json"
_WEIGHTS = "model.weights.h5"


def save(model: "keras.Model", path: Path) -> None:
    """Write a model into the folder `path`, whole or not at all."""
    with replacing(path) as scratch:
        scratch.mkdir()
        config = json.loads(model.to_json())
        text = json.dumps(_architecture(config), indent=1, sort_keys=True)
        (scratch / _JSON).write_text(text + "\n", encoding="utf-8")
        model.save_weights(scratch / _WEIGHTS)


def load(path: Path) -> "keras.Model":
    """The model in the folder `path`. Raises SeedlingsError where there is none.

    Nothing is unpickled, and Keras' safe mode stays on.
    """
    if not (path / _WEIGHTS).is_file():
        raise SeedlingsError(
            f"expected a model in {path}, found none; "
            "run `dvc repro` to make it or `dvc pull` to fetch it"
        )
    text = (path / _JSON).read_text(encoding="utf-8")
    model = keras.models.model_from_json(text)
    model.load_weights(path / _WEIGHTS)
    return model


def compiled(model: "keras.Model") -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A model of images as one compiled function of a batch of any length."""
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)]
    function = tf.function(lambda batch: model(batch, training=False), input_signature=signature)
    return lambda batch: function(batch).numpy()


def _architecture(config: object) -> object:
    """The configuration without object ids, which differ from process to process, and training."""
    if isinstance(config, dict):
        left_out = ("shared_object_id", "compile_config")
        return {k: _architecture(v) for k, v in config.items() if k not in left_out}
    if isinstance(config, list):
        return [_architecture(value) for value in config]
    return config


def sizes(model: "keras.Model") -> dict[str, int]:
    """The number of weights, in all and those that training changes."""
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return {"weights": model.count_params(), "trainable_weights": trainable}
