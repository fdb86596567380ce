from pathlib import Path
from typing import Any

import grids
import numpy as np
import pandas as pd
import pytest

from benchmarks import arrays
from seedlings import images
from seedlings.evaluation import doubtful_labels, figures
from seedlings.evaluation.doubtful_labels import Check
from seedlings.params import check
from seedlings.training.augmentations import Augmentation


@pytest.mark.parametrize(
    ("split", "title", "places"),
    [
        ("test", "The 2 worst of 3 mistakes on 4 test images", [4, 3]),
        ("validation", "The 2 worst of 3 mistakes on 4 validation images", [8, 7]),
    ],
)
def test_the_worst_mistakes_are_shown_with_their_captions(
    split: str,
    title: str,
    places: list[int],
    tree: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = grids.recorded(monkeypatch)
    arrays.write(tmp_path / "a", np.arange(9, dtype=np.uint8).repeat(12).reshape(9, 2, 2, 3))
    wrong = [(3, "b as a"), (2, "a as b"), (0, "b as a")]
    table = pd.DataFrame({"label": "x", "split": ["train"] + ["test"] * 4 + ["validation"] * 4})
    tree["evaluate"] |= {"split": split, "mistakes": 2}
    evaluate = check(tree).evaluate
    figures.mistakes(tmp_path / "a", table, wrong, params=evaluate, path=tmp_path / "m.png")
    heading, row = drawn[0]
    assert heading.title == title
    assert [tile.caption for tile in row.tiles] == ["b as a", "a as b"]
    assert [int(tile.image[0, 0, 0]) for tile in row.tiles] == places
    assert images.read(tmp_path / "m.png").shape[0] > 100


def test_every_augmentation_is_shown_alone_and_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree: dict[str, Any]
) -> None:
    drawn = grids.recorded(monkeypatch)
    tree["finetune"]["augment"] |= {"rotation": 90.0, "noise": 0.05}
    augmentation = Augmentation(check(tree).finetune.augment, None, seed=0)
    arrays.write(tmp_path / "a", np.full((1, 8, 8, 3), 99, np.uint8))
    figures.augmentations(tmp_path / "a", augmentation, tmp_path / "s.png")
    titles = [row.title for row in drawn[0]]
    assert titles == ["not augmented", "rotation alone", "noise alone", "all together"]
    assert all(len(row.tiles) == 8 for row in drawn[0][1:])


def test_the_curves_of_a_history_are_drawn_under_the_name_of_the_metric(tmp_path: Path) -> None:
    history, path = tmp_path / "history.csv", tmp_path / "curves.png"
    history.write_text(
        "epoch,loss,score,val_loss,val_score\n1,2.0,0.5,3.0,0.4\n2,1.0,0.7,2.0,0.6\n"
    )
    figures.curves(history, "accuracy", path)
    assert images.read(path).std() > 5


def test_doubtful_labels_are_shown_with_file_label_and_suggestion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree: dict[str, Any]
) -> None:
    drawn = grids.recorded(monkeypatch)
    tree["evaluate"]["doubtful_labels"] = 2
    two = check(tree).evaluate
    arrays.write(tmp_path / "a", np.arange(4, dtype=np.uint8).repeat(12).reshape(4, 2, 2, 3))
    table = pd.DataFrame({"path": [f"oat/{name}.png" for name in "wxyz"]})
    doubtful = pd.DataFrame(
        [
            ("oat/z.png", "test", "oat", 0.014, "grass", 0.98, "1"),
            ("oat/w.png", "train", "grass", 0.02, "oat", 0.9, "2"),
            ("oat/y.png", "train", "grass", 0.02, "oat", 0.8, "3"),
        ],
        columns=doubtful_labels.COLUMNS,
    )
    for labels, checked, agreeing, decided in (
        (doubtful, 99, 90, 0),
        (doubtful, 9, 4, 2),
        (doubtful[:0], 9, 9, 0),
        (doubtful[:0], 9, 9, 1),
    ):
        found = Check(labels, checked, agreeing, decided)
        figures.doubtful_labels(tmp_path / "a", table, found, params=two, path=tmp_path / "d.png")
    _, row = drawn[0]
    assert [tile.caption for tile in row.tiles] == [
        "z.png\n(test)\nlabel (1%): oat\nmodel (98%): grass",
        "w.png\n(train)\nlabel (2%): grass\nmodel (90%): oat",
    ]
    assert [int(tile.image[0, 0, 0]) for tile in row.tiles] == [3, 0]
    assert [rows[0].title for rows in drawn] == [
        "The 2 most doubtful labels of 3, with the model's probabilities",
        "Not reliable: 5 of 9 labels are doubtful, because the model gives only 44% of the images "
        "their label. The first 2, with the model's probabilities:",
        "No doubtful labels",
        "No doubtful labels, except 1 that data/corrections.csv decides",
    ]
