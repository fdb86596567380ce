"""Results of the pipeline that the page shows: the split, the lists of doubts, and the model."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.config import paths, records
from seedlings.data import duplicates
from seedlings.errors import SeedlingsError
from seedlings.evaluation import doubtful_labels, evaluators, model_outputs
from seedlings.evaluation.params import Evaluate
from seedlings.io import split_table
from seedlings.io.store import Array
from seedlings.networks import models
from seedlings.review import neighbours, queue
from seedlings.review.neighbours import Neighbours
from seedlings.review.queue import Found, Item
from seedlings.tasks import TASKS, Task

_WORST = 100  # mistakes of a split
_NEAREST = 6
_TOGETHER = 64  # items whose neighbours are computed in one pass
_LIST = paths.report("evaluate") / "doubtful_labels.csv"
_AGAIN = "run `dvc repro`, and open this page again when it has ended"


@dataclass(slots=True)
class Results:
    """The results of the stages, all of one run of the pipeline."""

    table: pd.DataFrame  # the split table
    task: Task
    names: list[str]  # classes or tags, sorted; none of regression
    items: list[Item]
    skipped: list[str]  # files without a row, each with the reason
    lists_doubtful: bool  # whether the stage evaluate lists doubtful labels
    images: Array
    features: Array
    _neighbours: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def nearest(self, item: Item) -> list[tuple[int, float]]:
        """Return the rows of the nearest training images, and their cosine distances.

        Those of some items are computed together, in one pass over the features. There are none
        without a backbone, as then no features are stored.
        """
        if item.digest not in self._neighbours and len(self.features.keys):
            first = self.items.index(item) // _TOGETHER * _TOGETHER
            some = self.items[first : first + _TOGETHER]
            found = neighbours.nearest(
                self.features,
                np.array([one.row for one in some], np.int64),
                split_table.rows(self.table, "train"),
                self.table["digest"].to_numpy(),
                count=_NEAREST,
            )
            for one, pairs in zip(some, _pairs(found), strict=True):
                self._neighbours[one.digest] = pairs
        return self._neighbours.get(item.digest, [])

    def is_trained_with(self, item: Item) -> bool:
        """Return whether the model was trained with an image."""
        return item.split == "train" and bool(self.table["label"].iloc[item.row])

    def cut_out(self, item: Item) -> NDArray[np.uint8]:
        """Return the input of the network for an image."""
        return self.images.row(item.row)


def read(decided: set[str]) -> Results:
    """Return the results, with the queue of doubts; `decided` are the digests of decided images.

    Raises SeedlingsError if the results are not of one run of the pipeline.
    """
    table = split_table.read(paths.SPLIT)
    record = records.read(paths.record("evaluate"))
    kind = TASKS[record.params["task"]]
    images, features = Array(paths.IMAGES), Array(paths.FEATURES)
    for array in (images, features):
        if len(array.keys) not in (0, len(table)):
            raise SeedlingsError(
                f"expected results of one run, found {len(table)} images in {paths.SPLIT} and "
                f"{len(array.keys)} in an array; {_AGAIN}"
            )
    labels = pd.concat([table["label"], table[split_table.ORIGINAL]])
    found = [
        *queue.doubtful(table, _doubtful_labels()),
        *queue.near_duplicates(table, _hashes(), kind, _distance()),
        *_mistakes(table, kind, record.params),
        *queue.decided(table, decided),
    ]
    return Results(
        table=table,
        task=kind,
        names=kind.outputs(labels[labels != ""]) if _has_names(kind) else [],
        items=queue.build(table, kind, found),
        skipped=_skipped(),
        lists_doubtful=_LIST.is_file(),
        images=images,
        features=features,
    )


def _has_names(kind: Task) -> bool:
    return "probabilities" in kind.answer_types


def _doubtful_labels() -> pd.DataFrame:
    if not _LIST.is_file():  # another task, or evaluate.doubtful_labels is 0
        return pd.DataFrame(columns=doubtful_labels.COLUMNS)
    text = dict.fromkeys(("path", "split", "label", "suggestion", "digest"), str)
    found = pd.read_csv(_LIST, dtype=text, keep_default_na=False)
    if [*found.columns] != doubtful_labels.COLUMNS:
        raise SeedlingsError(
            f"{_LIST}: expected the columns {', '.join(doubtful_labels.COLUMNS)}, found "
            f"{', '.join(found.columns)}, as of another version of Seedlings; {_AGAIN}"
        )
    return found


def _hashes() -> pd.DataFrame:
    known = duplicates.read_hashes(paths.report("split"))
    exact, perceptual = zip(*known.values(), strict=True)
    return pd.DataFrame(
        {
            "digest": list(known),
            "exact": np.array(exact, np.uint64),
            "perceptual": np.array(perceptual, np.uint64),
        }
    )


def _distance() -> int | None:
    return records.read(paths.record("split")).params["split.duplicate_distance"]


def _mistakes(table: pd.DataFrame, kind: Task, params: dict[str, Any]) -> Found:
    """Yield the worst mistakes of the evaluated split, and of validation."""
    section = {
        key.removeprefix("evaluate."): value
        for key, value in params.items()
        if key.startswith("evaluate.")
    }
    evaluated = section["split"]
    outputs = {evaluated: np.load(paths.OUTPUTS)}
    if evaluated != "validation":
        model = models.load(paths.PACKAGED)
        outputs["validation"] = model_outputs.predict_finetuned(
            model, paths.FEATURES, paths.IMAGES, table, kind, split="validation"
        )
    for split, given in outputs.items():
        evaluator = evaluators.of(
            kind, table, Evaluate(**{**section, "split": split}), params["seed"]
        )
        rows = split_table.rows(table, split).tolist()
        if len(rows) != len(given):
            raise SeedlingsError(
                f"expected results of one run, found {len(rows)} {split} images in {paths.SPLIT} "
                f"and {len(given)} in {paths.OUTPUTS}; {_AGAIN}"
            )
        yield from queue.mistakes(rows, evaluator.mistakes(given), _WORST)


def _skipped() -> list[str]:
    found: list[str] = []
    for stage in ("download", "split"):
        path = paths.record(stage)
        details = records.read(path).details if path.is_file() else {}
        found += [*map(str, details.get("skipped", [])), *_unlabelled(details)]
    return found


def _unlabelled(details: dict[str, Any]) -> list[str]:
    return [f"{name}: has no label" for name in details.get("unlabelled", [])]


def _pairs(found: Neighbours) -> list[list[tuple[int, float]]]:
    return [
        [(int(row), float(distance)) for row, distance in zip(rows, distances, strict=True)][
            : int((rows >= 0).sum())
        ]
        for rows, distances in zip(found.rows, found.distances, strict=True)
    ]
