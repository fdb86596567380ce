"""Results of a small pipeline, written without its stages: twelve images and a random model."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import assembly
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from benchmarks import networks
from seedlings import images
from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.data import duplicates
from seedlings.evaluation import doubtful_labels
from seedlings.io import parts, split_table, store
from seedlings.io.files import write_array, write_csv
from seedlings.params import check
from seedlings.tasks import TASKS

SIDE = 24
LABELS = {
    "multiclass": ["cat", "dog", "owl"] * 4,
    "multilabel": ["sea", "sea sky", "sky"] * 4,
    "regression": ["0.5", "1", "2"] * 4,
}
SPLITS = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3


@dataclass
class Written:
    """The results in the current folder."""

    table: pd.DataFrame
    outputs: NDArray[np.float32]  # of the test images

    def digest(self, number: int) -> str:
        return str(self.table["digest"][number])


@pytest.fixture
def written(
    tree: dict[str, Any],
    tmp_path: Path,
    noise: Callable[..., NDArray[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Written]:
    """Write the results of a task into a new current folder; `doubtful` are numbers of images."""
    monkeypatch.chdir(tmp_path)

    def make(
        task: str = "multiclass",
        *,
        doubtful: list[int] | None = None,
        same_label: bool = False,
        mistakes: bool = True,
    ) -> Written:
        kind = TASKS[task]
        labels = LABELS[task]
        pixels = np.stack([noise(SIDE, SIDE) for _ in labels])
        files = [images.encode_png(image) for image in pixels]
        table = pd.DataFrame(
            {
                "path": [f"{number:02d}.png" for number in range(len(labels))],
                "label": labels,
                "split": SPLITS,
                "group": [0, 0, *range(1, len(labels) - 1)],  # the first two are duplicates
                "digest": [parts.digest(data) for data in files],
            }
        )
        if same_label:
            table.loc[1, "label"] = table.loc[0, "label"]
        for path, data in zip(table["path"], files, strict=True):
            (paths.RAW / path).parent.mkdir(parents=True, exist_ok=True)
            (paths.RAW / path).write_bytes(data)
        split_table.write(table, paths.SPLIT)
        hashes = table.assign(
            exact=np.array([1, 1, *range(2, len(labels))], np.uint64),
            perceptual=np.array([0, 0, *(2 ** np.arange(10, 20) - 1)], np.uint64),
        )
        duplicates.write_hashes(hashes, paths.report("split"))
        keys = parts.digests(table["digest"].tolist())
        rows = dict(zip(keys.tolist(), pixels, strict=True))
        store.write(
            paths.IMAGES,
            keys,
            lambda part: np.array([rows[key] for key in part.tolist()]).reshape(-1, SIDE, SIDE, 3),
            row_shape=(SIDE, SIDE, 3),
            dtype=np.uint8,
        )
        none = parts.digests([])
        store.write(paths.FEATURES, none, lambda part: part, row_shape=(4,), dtype=np.float32)
        tree["extract"].update(backbone="none", pooling="none")
        tree["finetune"]["convnet"]["filters"] = [4]
        tree["segment"].update(pixels=[SIDE, SIDE], method="none")
        params = check(tree)
        names = kind.outputs(table["label"])
        model = assembly.classifier(params, (SIDE, SIDE), len(names), kind)
        segment = params.segment.model_dump()
        contents = networks.contents(task, names, segment)
        networks.package(model, contents, paths.PACKAGED)
        truth = kind.targets(table["label"][9:])
        eye = np.eye(len(names), dtype=np.float32)
        outputs = eye[truth] if kind.has_classes else truth.astype(np.float32)
        if mistakes:
            outputs = np.roll(outputs, 1, axis=0)
        write_array(paths.OUTPUTS, outputs)
        if kind.has_classes:
            write_csv(paths.report("evaluate") / "doubtful_labels.csv", _doubtful(table, doubtful))
        values = {f"evaluate.{key}": value for key, value in params.evaluate.model_dump().items()}
        shared = {"task": task, "seed": 0}
        Record("evaluate", {**values, **shared}).write(paths.record("evaluate"))
        skipped = {"skipped": ["torn.png: expected a whole image, found a truncated one"]}
        Record("split", {"split.duplicate_distance": 2, **shared}, details=skipped).write(
            paths.record("split")
        )
        return Written(table, outputs)

    return make


def _doubtful(table: pd.DataFrame, numbers: list[int] | None) -> pd.DataFrame:
    rows = table.iloc[[4, 7] if numbers is None else numbers]
    listed = rows.assign(probability=0.1, suggestion="owl", suggestion_probability=0.9)
    return listed[doubtful_labels.COLUMNS]
