import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from seedlings.config import paths
from seedlings.errors import SeedlingsError
from seedlings.io import parts, split_table, store
from seedlings.review import inputs, queue, results

pytestmark = pytest.mark.slow

Written = Callable[..., Any]


def test_the_queue_has_all_kinds_of_doubts_in_their_order(written: Written) -> None:
    made = written()
    found = results.read({made.digest(3)})
    order = [(item.path, sorted(item.kinds)) for item in found.items]
    assert order[:4] == [
        ("04.png", [queue.DOUBTFUL]),
        ("07.png", sorted({queue.DOUBTFUL} | found.items[1].kinds)),
        ("00.png", [queue.DUPLICATE]),
        ("01.png", [queue.DUPLICATE]),
    ]
    wrong = [item.path for item in found.items if queue.MISTAKE in item.kinds]
    assert {"09.png", "10.png", "11.png"} <= {*wrong}  # of the test images, all
    assert {*wrong} - {"09.png", "10.png", "11.png"} <= {"06.png", "07.png", "08.png"}
    assert order[-1] == ("03.png", [queue.DECIDED])
    assert found.skipped == ["torn.png: expected a whole image, found a truncated one"]
    assert found.names == ["cat", "dog", "owl"]
    assert found.nearest(found.items[0]) == []  # no features are stored without a backbone


def test_neighbours_are_training_images_for_the_items_of_every_pass(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "_TOGETHER", 2)
    made = written()
    features = np.eye(12, 4, dtype=np.float32) + np.arange(12, dtype=np.float32)[:, None] / 10
    keys = parts.digests([parts.digest(bytes([number])) for number in range(12)])
    rows = dict(zip(keys.tolist(), features, strict=True))
    store.write(
        Path("features"),
        keys,
        lambda part: np.array([rows[key] for key in part.tolist()]).reshape(-1, 4),
        row_shape=(4,),
        dtype=np.float32,
    )
    found = results.read({made.digest(number) for number in range(12)})
    found = replace(found, features=store.Array(Path("features")))
    assert len(found.items) == 12
    distances = cdist(features, features[:6], "cosine")
    np.fill_diagonal(distances, np.inf)
    for item in reversed(found.items):
        near = found.nearest(item)
        order = distances[item.row].argsort()[: len(near)]
        assert len(near) == (5 if item.split == "train" else 6)
        np.testing.assert_allclose(
            [distance for _, distance in near], distances[item.row][order], atol=1e-6
        )


def test_a_task_without_classes_has_mistakes_and_no_doubtful_labels(written: Written) -> None:
    written("regression")
    found = results.read(set())
    assert not found.lists_doubtful
    assert found.names == []
    assert {kind for item in found.items for kind in item.kinds} == {queue.DUPLICATE, queue.MISTAKE}


def test_missing_results_are_named_with_the_command_that_makes_them(written: Written) -> None:
    written()
    paths.OUTPUTS.unlink()
    with pytest.raises(SeedlingsError, match=r"found no data/outputs\.npy; run `dvc repro`"):
        inputs.version()


def test_the_version_changes_with_each_result(written: Written) -> None:
    written()
    before = inputs.version()
    assert inputs.version() == before
    file = Path(paths.SPLIT)
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    assert inputs.version() != before


def test_results_of_different_runs_are_refused(written: Written) -> None:
    made = written()
    split_table.write(made.table[:-1], paths.SPLIT)
    with pytest.raises(SeedlingsError, match="expected results of one run, found 11 images"):
        results.read(set())
