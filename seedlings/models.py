"""Models on disk: the architecture as JSON beside the weights, the same bytes on every save."""

import json
import math
from pathlib import Path

from seedlings.errors import SeedlingsError
from seedlings.files import replacing
from seedlings.runtime import keras

_ARCHITECTURE = "model.json"
_WEIGHTS = "model.weights.h5"


def save(model: "keras.Model", path: Path) -> None:
    """Write a model into the folder `path`, whole or not at all."""
    with replacing(path) as scratch:
        scratch.mkdir()
        config = json.loads(model.to_json())
        text = json.dumps(_without_ids(config), indent=1, sort_keys=True)
        (scratch / _ARCHITECTURE).write_text(text + "\n", encoding="utf-8")
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
    text = (path / _ARCHITECTURE).read_text(encoding="utf-8")
    model = keras.models.model_from_json(text)
    model.load_weights(path / _WEIGHTS)
    return model


def _without_ids(config: object) -> object:
    """The configuration without object ids, which differ from process to process."""
    if isinstance(config, dict):
        return {k: _without_ids(v) for k, v in config.items() if k != "shared_object_id"}
    if isinstance(config, list):
        return [_without_ids(value) for value in config]
    return config


def sizes(model: "keras.Model") -> dict[str, int]:
    """The number of weights, in all and those that training changes."""
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return {"weights": model.count_params(), "trainable_weights": trainable}
