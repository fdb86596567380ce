"""Packages: a model with all that precedes it and all that is made of its answer.

A package is a folder: the network, and `package.json` with the cut-out's parameters, the names of
the outputs, and when an image is unlike those of training. Nothing in it is unpickled.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings import cutouts, models
from seedlings.errors import SeedlingsError
from seedlings.files import write_json
from seedlings.params import Segment
from seedlings.runtime import keras
from seedlings.tasks import TASKS, Task

_FILE = "package.json"
_BATCH = 32

Image = NDArray[np.uint8]
Outputs = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Contents:
    """What `package.json` holds."""

    task: str
    outputs: list[str]
    segment: dict[str, Any]
    tag_threshold: float
    usual: tuple[float, float]  # of what `score` gives for images like those of training


def write(model: "keras.Model", contents: Contents, path: Path) -> None:
    """Write a package into the folder `path`."""
    models.save(model, path)
    write_json(path / _FILE, asdict(contents))


def usual(outputs: Outputs, task: Task, truth: NDArray, share: float) -> tuple[float, float]:
    """Between which scores an image counts as one like those of training.

    For classes and tags at least the score that all but `share` of the validation's outputs reach,
    the maximum probability of Hendrycks and Gimpel (2017); for numbers the range of training.
    """
    if task.name == "regression":
        return float(truth.min()), float(truth.max())
    return float(np.quantile(score(outputs, task), share)), 1.0


def score(outputs: Outputs, task: Task) -> NDArray[np.float64]:
    """How sure each of N answers is (0..1); of a number, itself."""
    columns = task.columns(outputs.astype(np.float64))
    return columns[:, 0] if task.name == "regression" else columns.max(axis=1)


class Predictor:
    """Answers for images what the packaged model answers.

    Raises SeedlingsError where there is no package in the folder.
    """

    def __init__(self, path: Path) -> None:
        self.contents = read(path)
        self.task = TASKS[self.contents.task]
        self._segment = Segment(**self.contents.segment)
        self._network = models.compiled(models.load(path))

    def answer(self, images: Sequence[Image]) -> pd.DataFrame:
        """A row for each image (RGB uint8, any size).

        Columns: `prediction`, a class, tags with a space between them, or a number; for a class
        `probability`; for classes and tags `probabilities` by name; `unlike`, why the image is
        unlike those of training, or nothing.
        """
        cut_out, shares = zip(*(cutouts.with_share(i, self._segment) for i in images), strict=True)
        outputs = self.run(np.stack(cut_out))
        reasons = [
            self._unlike(share, value)
            for share, value in zip(shares, score(outputs, self.task), strict=True)
        ]
        return pd.DataFrame({**self._columns(outputs), "unlike": reasons})

    def cut_out(self, image: Image) -> Image:
        """What the network sees of an image (RGB uint8, any size)."""
        return cutouts.one(image, self._segment)

    def run(self, batch: NDArray[np.uint8]) -> Outputs:
        """What the network alone gives for cut-outs: N x height x width x 3 to N x units."""
        parts = (batch[start : start + _BATCH] for start in range(0, len(batch), _BATCH))
        return np.concatenate([self._network(part) for part in parts])

    def _columns(self, outputs: Outputs) -> dict[str, Any]:
        names = self.contents.outputs
        wide = self.task.columns(outputs.astype(np.float64))
        if self.task.name == "regression":
            return {"prediction": wide[:, 0]}
        if self.task.name == "multilabel":
            given = wide >= self.contents.tag_threshold
            chosen = [" ".join(np.array(names)[row]) for row in given]
            return {"prediction": chosen, "probabilities": _named(names, wide)}
        return {
            "prediction": [names[number] for number in wide.argmax(axis=1)],
            "probability": wide.max(axis=1),
            "probabilities": _named(names, wide),
        }

    def _unlike(self, share: float, value: float) -> str:
        low, high = self.contents.usual
        if share < self._segment.empty_below:
            return f"no plant: {share:.2%} of the picture is foreground"
        if value < low:
            return f"{value:.3g} is below {low:.3g}, the least that is usual"
        if value > high:
            return f"{value:.3g} is above {high:.3g}, the most that is usual"
        return ""


def read(path: Path) -> Contents:
    """What is said of the package in the folder `path`. Raises SeedlingsError if there is none."""
    if not (path / _FILE).is_file():
        raise SeedlingsError(
            f"expected a packaged model in {path}, found none; "
            "run `dvc repro` to make it or `dvc pull` to fetch it"
        )
    values = json.loads((path / _FILE).read_text(encoding="utf-8"))
    return Contents(**{**values, "usual": tuple(values["usual"])})


def _named(names: Sequence[str], rows: Iterable[NDArray[np.float64]]) -> list[dict[str, float]]:
    return [dict(zip(names, row.tolist(), strict=True)) for row in rows]
