"""Models on disk: the architecture as JSON, and the weights as HDF5, with reproducible bytes."""

import json
import math
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedlings.errors import SeedlingsError
from seedlings.io.files import replacing
from seedlings.networks import layers  # noqa: F401  # registers the layers for loading
from seedlings.networks.runtime import keras, tf

_JSON = "model.json"
_WEIGHTS = "model.weights.h5"


def save(model: "keras.Model", path: Path) -> None:
    """Write a model into the folder `path`, atomically."""
    with replacing(path) as scratch:
        scratch.mkdir()
        config = json.loads(model.to_json())
        text = json.dumps(_architecture(config), indent=1, sort_keys=True)
        (scratch / _JSON).write_text(text + "\n", encoding="utf-8")
        model.save_weights(scratch / _WEIGHTS)


def load(path: Path) -> "keras.Model":
    """Return the model in the folder `path`. Raises SeedlingsError if there is none.

    The function loads no pickle, and uses the safe mode of Keras.
    """
    if not (path / _WEIGHTS).is_file():
        raise SeedlingsError(
            f"expected a model in {path}, found none; "
            "run `dvc repro` to create it or `dvc pull` to download it"
        )
    text = (path / _JSON).read_text(encoding="utf-8")
    model = keras.models.model_from_json(text)
    model.load_weights(path / _WEIGHTS)
    return model


def load_weights(model: "keras.Model", path: Path) -> None:
    """Load the weights of a .h5 or .weights.h5 file into a model.

    Raises ValueError, with the reason in one line, if the file cannot be read, or does not have the
    weights of the model.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Keras only warns about layers without weights
            model.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise ValueError(str(error).strip().partition("\n")[0]) from error


def to_bytes(model: "keras.Model") -> dict[str, bytes]:
    """Return the files that `save` writes, by name."""
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "model")
        return {file.name: file.read_bytes() for file in (Path(folder) / "model").iterdir()}


def from_bytes(files: Mapping[str, bytes]) -> "keras.Model":
    """Return the model in the files that `to_bytes` returned."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        return load(Path(folder))


def compiled(model: "keras.Model") -> Callable[[NDArray], Any]:
    """Return the model as a compiled function from a batch of inputs, of any length, to outputs.

    The function returns an array, or a list of arrays for a model with several outputs.
    """
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), model.inputs[0].dtype)]
    function = tf.function(lambda batch: model(batch, training=False), input_signature=signature)
    return lambda batch: keras.tree.map_structure(np.asarray, function(batch))


def _architecture(config: object) -> object:
    """Return a configuration without object ids, which differ between processes, and training."""
    if isinstance(config, dict):
        left_out = ("shared_object_id", "compile_config")
        return {k: _architecture(v) for k, v in config.items() if k not in left_out}
    if isinstance(config, list):
        return [_architecture(value) for value in config]
    return config


def sizes(model: "keras.Model") -> dict[str, int]:
    """Return the number of all weights, and of the trainable ones."""
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return {"weights": model.count_params(), "trainable_weights": trainable}
