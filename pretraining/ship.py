"""Ship the weights of this project with the library: `python pretraining/ship.py [FILE]`."""

import sys
import tempfile
from pathlib import Path

import numpy as np

from seedlings.errors import SeedlingsError
from seedlings.io import downloads, files
from seedlings.networks import models, vgg16
from seedlings.networks.applications import APPLICATIONS
from seedlings.networks.runtime import keras

OUTPUT = Path(__file__).parent / "output" / "backbone.weights.h5"
SHIPPED = APPLICATIONS["VGG16"].weights["synthetic"]


def main() -> None:
    """Ship a file of weights, by default the output of this project."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    target = Path(str(SHIPPED.file))
    try:
        ship(source, target)
    except SeedlingsError as error:
        sys.exit(str(error))
    print(f"{target} has the weights of {source}")
    checksum = f"sha256:{downloads.digest(target)}"
    if checksum != SHIPPED.checksum:
        print(f"set their checksum in seedlings/networks/applications.py to {checksum}")


def ship(source: Path, target: Path) -> None:
    """Write the weights of a file to `target`, in half precision.

    Raises SeedlingsError, and writes nothing, if the file is missing, or does not have the weights
    of VGG16 with a quarter of its filters.
    """
    if not source.is_file():
        raise SeedlingsError(
            f"expected weights in {source}, found no file; run `dvc repro` in pretraining/ first"
        )
    network = vgg16.build((None, None, 3), SHIPPED.width)
    try:
        models.load_weights(network, source)
    except ValueError as error:
        raise SeedlingsError(
            f"{source} does not have the weights of VGG16 with the width {SHIPPED.width}: {error}"
        ) from error
    write(network, target)


def write(network: "keras.Model", path: Path) -> None:
    """Write the weights of a network in half precision, in Keras' format `.weights.h5`, atomically.

    Equal weights give equal bytes. Raises SeedlingsError if a weight is not a finite number, or
    too large for half precision.
    """
    with np.errstate(over="ignore"):
        halves = [weight.astype(np.float16) for weight in network.get_weights()]
    wrong = sum(int((~np.isfinite(half)).sum()) for half in halves)
    if wrong:
        raise SeedlingsError(
            f"{path}: expected weights that are finite and at most 65504, found {wrong} others; "
            "lower the learning rate of the training"
        )
    images = keras.Input(network.input_shape[1:], name="images")  # its name is in the file, too
    half = keras.models.clone_model(network, images, _in_half_precision)
    half.set_weights(halves)
    with tempfile.TemporaryDirectory() as folder, files.replacing(path) as scratch:
        saved = Path(folder) / "half.weights.h5"  # Keras writes to files of this ending alone
        half.save_weights(saved)
        files.copy(saved, scratch)


def _in_half_precision(layer: "keras.layers.Layer") -> "keras.layers.Layer":
    return type(layer).from_config(layer.get_config() | {"dtype": "float16"})


if __name__ == "__main__":
    main()
