"""The model bundle: the network with everything that precedes it and that is made of its output.

A bundle is a folder: the network, and `bundle.json` with the parameters of the segmentation, the names
of the outputs, and the range that counts as in-distribution. Nothing in it is unpickled.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seedlings.config import paths
from seedlings.errors import SeedlingsError
from seedlings.io.files import write_json
from seedlings.networks import models
from seedlings.networks.runtime import keras


@dataclass(frozen=True, slots=True)
class Contents:
    """What `bundle.json` has."""

    task: str
    outputs: list[str]  # the names of what is predicted, as Task.outputs returns them
    segment: dict[str, Any]
    tag_threshold: float
    in_distribution: tuple[float, float]  # the range of Task.confidence


def write(model: "keras.Model", contents: Contents, path: Path) -> None:
    """Write a bundle into the folder `path`."""
    models.save(model, path)
    write_json(path / paths.BUNDLE, asdict(contents))


def read(path: Path) -> Contents:
    """Return the contents of the bundle in the folder `path`, without its network.

    Raises SeedlingsError where there is none.
    """
    if not (path / paths.BUNDLE).is_file():
        raise SeedlingsError(
            f"expected a packaged model in {path}, found none; "
            "run `dvc repro` to make it or `dvc pull` to fetch it"
        )
    values = json.loads((path / paths.BUNDLE).read_text(encoding="utf-8"))
    return Contents(**{**values, "in_distribution": tuple(values["in_distribution"])})
