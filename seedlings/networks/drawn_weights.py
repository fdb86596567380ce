"""The pretrained weights that are part of the package: of VGG16 with a quarter of its filters.

The subproject `pretraining` makes them from drawn images. The text file beside them has their
checksum, in the format of `sha256sum`.
"""

import tempfile
from pathlib import Path

import numpy as np

from seedlings.errors import SeedlingsError
from seedlings.io import downloads, files
from seedlings.networks.runtime import keras

FILE = Path(__file__).parent / "weights" / "vgg16_quarter.weights.h5"


def verified(file: Path = FILE) -> Path:
    """Return the path of the weights after a comparison with their checksum.

    Raises SeedlingsError if a file is missing, or if the checksum differs.
    """
    remedy = (
        "install the package again, or restore the file with `git checkout`; or set "
        "extract.weights to `random`, for a backbone that is not pretrained"
    )
    try:
        expected = _checksum_file(file).read_text(encoding="utf-8").split()[0]
        downloads.verify(file, f"sha256:{expected}")
    except (OSError, IndexError) as error:
        raise SeedlingsError(
            f"extract.weights `drawn`: expected the weights and their checksum beside {file}, "
            f"found an incomplete package ({error}); {remedy}"
        ) from error
    except SeedlingsError as error:
        raise SeedlingsError(f"extract.weights `drawn`: {error}; {remedy}") from error
    return file


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
        saved = Path(folder) / FILE.name  # Keras writes to files of this ending alone
        half.save_weights(saved)
        files.copy(saved, scratch)


def install(network: "keras.Model", file: Path = FILE) -> None:
    """Write the weights of a network into the package, as `write` does, and their checksum."""
    write(network, file)
    line = f"{downloads.digest(file)}  {file.name}\n"
    with files.replacing(_checksum_file(file)) as scratch:
        scratch.write_text(line, encoding="utf-8")


def _checksum_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def _in_half_precision(layer: "keras.layers.Layer") -> "keras.layers.Layer":
    return type(layer).from_config(layer.get_config() | {"dtype": "float16"})
