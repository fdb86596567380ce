import numpy as np
import pandas as pd
import pytest

from seedlings import evaluation
from seedlings.params import Params

TABLE = pd.DataFrame(
    {
        "path": [f"{n}.png" for n in range(6)],
        "label": ["a", "b", "a", "b", "a", "a"],
        "split": ["train", "test", "test", "test", "validation", "train"],
    }
)
RESULTS = {  # the test rows are b, a, b
    "baseline": np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]], np.float32),
    "finetuned": np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4]], np.float32),
}


def test_scores_are_of_the_test_rows_alone(params: Params) -> None:
    scores = evaluation.score(RESULTS, TABLE, params.evaluate, seed=0)
    assert scores["images"] == 3
    assert scores["baseline/accuracy"] == pytest.approx(1 / 3)
    assert scores["finetuned/accuracy"] == pytest.approx(2 / 3)
    assert scores["majority/accuracy"] == pytest.approx(1 / 3)
    assert scores["mcnemar/only_finetuned_right"] == 1
    assert scores["mcnemar/only_baseline_right"] == 0
    assert scores["mcnemar/p_value"] == 1.0
    assert evaluation.score(RESULTS, TABLE, params.evaluate, seed=0) == scores


def test_predictions_are_a_row_an_image() -> None:
    table = evaluation.predictions(RESULTS, TABLE)
    assert table["path"].tolist() == ["1.png", "2.png", "3.png"]
    assert table["label"].tolist() == ["b", "a", "b"]
    assert table["baseline"].tolist() == ["a", "a", "a"]
    assert table["finetuned"].tolist() == ["b", "a", "a"]
    assert table["finetuned_probability"].tolist() == pytest.approx([0.9, 0.8, 0.6])


def test_numbers_nest_by_model() -> None:
    assert evaluation.nest({"images": 3.0, "a/x": 1.0, "a/y": 2.0}) == {
        "images": 3.0,
        "a": {"x": 1.0, "y": 2.0},
    }


def test_confusions_have_the_accuracy_in_their_title() -> None:
    matrices = evaluation.confusions(RESULTS, TABLE)
    assert list(matrices) == ["baseline: 33.3% accuracy", "finetuned: 66.7% accuracy"]
    assert matrices["finetuned: 66.7% accuracy"].tolist() == [[1, 0], [1, 1]]
