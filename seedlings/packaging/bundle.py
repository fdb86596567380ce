"""The model bundle: the network, with its preprocessing and the meaning of its outputs.

A bundle is a folder with the network; `bundle.json` with the parameters of the segmentation, the
names of the outputs, and the largest distance of an in-distribution image; `reference.npy` with the
features of some training images, from which distances are measured (see `distances`); and
`validation.npy` and `outputs.npy` with the features and outputs of some validation images, to which
new images are compared. It contains no pickle. `read` imports no library that reads the settings of
the processor, because they follow from the bundle.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedlings.config import paths
from seedlings.config.params import check
from seedlings.errors import SeedlingsError
from seedlings.io.files import write_array, write_json
from seedlings.segmentation.params import Segment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seedlings.networks.runtime import keras

_REFERENCE = "reference.npy"
_VALIDATION = "validation.npy"
_OUTPUTS = "outputs.npy"


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of `bundle.json`."""

    task: str
    answers: str  # the form of the answers, of answers.FORMS
    outputs: list[str]  # the names that Task.outputs returns
    segment: dict[str, Any]
    tag_threshold: float
    largest_distance: float  # of an in-distribution image to the nearest training image
    share_within: float  # of images like those of training: the expected share at this distance
    validation_images: int  # from which the distance was chosen
    training_shares: dict[str, float]  # of the classes or tags in training; none for a number
    portable: bool


@dataclass(frozen=True, slots=True)
class Samples:
    """Images of the data: the features of some training images, and of validation also the outputs.

    Features are rows x C, and outputs rows x units.
    """

    training: "NDArray[np.float32]"
    validation: "NDArray[np.float32]"
    outputs: "NDArray[np.float32]"


def write(model: "keras.Model", contents: Contents, samples: Samples, path: Path) -> None:
    """Write a bundle, that is a network, its contents and its samples, into the folder `path`."""
    from seedlings.networks import models

    models.save(model, path)
    write_array(path / _REFERENCE, samples.training)
    write_array(path / _VALIDATION, samples.validation)
    write_array(path / _OUTPUTS, samples.outputs)
    write_json(path / paths.BUNDLE, asdict(contents))


def read_reference(path: Path) -> "NDArray[np.float32]":
    """Return the features (rows x C) of the training images in the bundle in the folder `path`.

    Raises SeedlingsError if there are none.
    """
    return _read(path / _REFERENCE)


def read_samples(path: Path) -> Samples:
    """Return the samples in the bundle in the folder `path`.

    Raises SeedlingsError if there are none.
    """
    return Samples(*(_read(path / name) for name in (_REFERENCE, _VALIDATION, _OUTPUTS)))


def _read(file: Path) -> "NDArray[np.float32]":
    import numpy as np

    try:
        return np.load(file, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise SeedlingsError(
            f"{file}: expected the features or outputs of some images, found none ({error}); "
            "run `dvc repro` to package the model again"
        ) from error


def digest(path: Path) -> str:
    """Return a digest (BLAKE2b) of the files of the bundle in the folder `path`."""
    digest = hashlib.blake2b(digest_size=16)
    for file in files(path):
        data = file.read_bytes()
        digest.update(f"{file.name} {len(data)}\0".encode() + data)
    return digest.hexdigest()


def files(path: Path) -> list[Path]:
    """Return the files of the bundle in the folder `path`, sorted."""
    return sorted(file for file in path.iterdir() if file.is_file())


def read(path: Path) -> Contents:
    """Return the contents of the bundle in the folder `path`, without its network.

    Raises SeedlingsError if there is none, or one of another version.
    """
    file = path / paths.BUNDLE
    if not file.is_file():
        raise SeedlingsError(
            f"expected a packaged model in {path}, found none; "
            "run `dvc repro` to create it or `dvc pull` to download it"
        )
    try:
        return _contents(json.loads(file.read_bytes()))
    except (SeedlingsError, ValueError) as error:
        raise SeedlingsError(
            f"{file}: expected a package of this version of Seedlings, found another or a damaged "
            f"one ({error}); run `dvc repro` to package the model again"
        ) from error


def _contents(values: Any) -> Contents:
    expected = [field.name for field in fields(Contents)]
    if not isinstance(values, dict) or sorted(values) != sorted(expected):
        raise ValueError(f"expected the keys {', '.join(expected)}, found {', '.join(values)}")
    check(values["segment"], Segment, file="segment")
    return Contents(**values)
