from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from seedlings import images
from seedlings.evaluation import evaluators
from seedlings.evaluation.evaluators import Judge
from seedlings.params import Params
from seedlings.tasks import TASKS

SPLIT = ["train", "test", "test", "test", "validation", "train"]


@pytest.fixture
def judge(params: Params) -> Callable[..., Judge]:
    def make(task: str, labels: list[str]) -> Judge:
        paths = [f"{n}.png" for n in range(6)]
        table = pd.DataFrame({"path": paths, "label": labels, "split": SPLIT})
        return evaluators.of(TASKS[task], table, params.evaluate, seed=0)

    return make


RESULTS = {  # the test rows are b, a, b
    "baseline": np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]], np.float32),
    "finetuned": np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4]], np.float32),
}
SECOND_ALONE = {name: outputs[:, 1:] for name, outputs in RESULTS.items()}
CLASSES = ["a", "b", "a", "b", "a", "a"]


@pytest.mark.parametrize(("task", "results"), [("multiclass", RESULTS), ("binary", SECOND_ALONE)])
def test_classes_are_judged_on_the_test_rows_alone(
    task: str, results: evaluators.Results, judge: Callable[..., Judge]
) -> None:
    mine = judge(task, CLASSES)
    scores = mine.score(results)
    assert scores["images"] == 3
    assert scores["baseline/accuracy"] == pytest.approx(1 / 3)
    assert scores["finetuned/accuracy"] == pytest.approx(2 / 3)
    assert scores["majority/accuracy"] == pytest.approx(1 / 3)
    assert scores["mcnemar/only_finetuned_right"] == 1
    assert scores["mcnemar/only_baseline_right"] == 0
    assert scores["mcnemar/p_value"] == 1.0
    assert mine.score(results) == scores
    table = mine.predictions(results)
    assert table["path"].tolist() == ["1.png", "2.png", "3.png"]
    assert table["label"].tolist() == ["b", "a", "b"]
    assert table["baseline"].tolist() == ["a", "a", "a"]
    assert table["finetuned"].tolist() == ["b", "a", "a"]
    assert table["finetuned_probability"].tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert mine.pairs(results)["finetuned"].tolist() == ["b", "a", "a"]
    assert list(mine.mistakes(results["baseline"])) == [(0, "b\nas a\n90%"), (2, "b\nas a\n60%")]


TAGS = ["sea", "sea clear", "land", "clear land", "sea", "sea"]
TAG_RESULTS = {  # clear, land, sea; the test rows are (1, 0, 1), (0, 1, 0), (1, 1, 0)
    "baseline": np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], np.float32),
    "finetuned": np.array([[0.9, 0.5, 0.8], [0.1, 0.6, 0.2], [0.9, 0.7, 0.1]], np.float32),
}


def test_tags_are_judged_by_f2_per_image(judge: Callable[..., Judge]) -> None:
    mine = judge("multilabel", TAGS)
    truth = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0]])
    scores = mine.score(TAG_RESULTS)
    for name, outputs in TAG_RESULTS.items():
        expected = reference.fbeta_score(truth, outputs >= 0.5, beta=2, average="samples")
        assert scores[f"{name}/f2"] == pytest.approx(expected)
    always_sea = np.tile([0, 0, 1], (3, 1))
    expected = reference.fbeta_score(truth, always_sea, beta=2, average="samples", zero_division=0)
    assert scores["majority/f2"] == pytest.approx(expected)
    assert scores["finetuned/exact_match"] == pytest.approx(2 / 3)
    table = mine.predictions(TAG_RESULTS)
    assert table["finetuned"].tolist() == ["clear land sea", "land", "clear land"]
    assert table["baseline"].tolist() == ["sea", "sea", ""]
    pairs = mine.pairs(TAG_RESULTS)
    assert pairs["label"].tolist()[:3] == ["present", "absent", "present"]
    assert pairs["baseline"].tolist()[:3] == ["absent", "absent", "present"]
    [(row, caption)] = mine.mistakes(TAG_RESULTS["finetuned"])
    assert row == 0
    assert caption.startswith("sea clear\nas clear land sea\nF2 0.91")


NUMBERS = ["0.0", "1.0", "-1.0", "0.5", "9", "0.4"]
NUMBER_RESULTS = {
    "baseline": np.array([[0.0], [0.0], [0.0]], np.float32),
    "finetuned": np.array([[0.5], [-1.0], [0.75]], np.float32),
}


def test_numbers_are_judged_by_their_errors(judge: Callable[..., Judge]) -> None:
    mine = judge("regression", NUMBERS)
    truth = np.array([1.0, -1.0, 0.5])
    scores = mine.score(NUMBER_RESULTS)
    predicted = NUMBER_RESULTS["finetuned"][:, 0]
    assert scores["finetuned/mae"] == pytest.approx(0.25)
    assert scores["finetuned/rmse"] == pytest.approx(np.sqrt((0.25 + 0.0625) / 3))
    assert scores["finetuned/r2"] == pytest.approx(reference.r2_score(truth, predicted))
    assert scores["mean/mae"] == pytest.approx((0.8 + 1.2 + 0.3) / 3, rel=1e-6)
    assert [row for row, _ in mine.mistakes(NUMBER_RESULTS["baseline"])] == [0, 1, 2]
    assert [row for row, _ in mine.mistakes(NUMBER_RESULTS["finetuned"])] == [0, 2, 1]
    assert mine.table(NUMBER_RESULTS["finetuned"])["images"].sum() == 3
    assert mine.pairs(NUMBER_RESULTS)["label"].tolist() == [
        "9: 0.8 to 1",
        "0: -1 to -0.8",
        "7: 0.4 to 0.6",
    ]


@pytest.mark.parametrize(
    ("task", "labels", "results"),
    [
        ("multiclass", CLASSES, RESULTS),
        ("binary", CLASSES, SECOND_ALONE),
        ("multilabel", TAGS, TAG_RESULTS),
        ("regression", NUMBERS, NUMBER_RESULTS),
    ],
)
def test_every_task_has_its_pictures(
    task: str,
    labels: list[str],
    results: evaluators.Results,
    judge: Callable[..., Judge],
    tmp_path: Path,
) -> None:
    drawn = judge(task, labels).draw(results, tmp_path)
    assert len(drawn) == (1 if task == "regression" else 3)
    assert sorted(drawn) == sorted(tmp_path.glob("*.png"))
    for path in drawn:
        assert images.read(path).shape[1] > 200
        assert images.read(path).std() > 5


def test_a_test_of_one_class_has_no_roc(judge: Callable[..., Judge], tmp_path: Path) -> None:
    drawn = judge("binary", ["b", "a", "a", "a", "b", "b"]).draw(SECOND_ALONE, tmp_path)
    assert [path.name for path in drawn] == ["confusion.png", "reliability.png"]


def test_right_and_wrong_answers_take_turns_by_label(judge: Callable[..., Judge]) -> None:
    mine = judge("multiclass", ["a", "b", "b", "a", "b", "a"])
    outputs = np.array([[0.1, 0.9], [0.2, 0.8], [0.6, 0.4]], np.float32)
    right, wrong = mine.right_and_wrong(outputs, most=5)
    assert right == [(0, "b\n90%"), (2, "a\n60%"), (1, "b\n80%")]
    assert wrong == []
    assert mine.right_and_wrong(outputs, most=1) == [[(0, "b\n90%")], []]
    right, wrong = judge("multilabel", TAGS).right_and_wrong(TAG_RESULTS["finetuned"], most=5)
    assert right == [(1, "land"), (2, "clear land")]
    assert [row for row, _ in wrong] == [0]
    right, _ = judge("regression", NUMBERS).right_and_wrong(NUMBER_RESULTS["finetuned"], most=2)
    assert [row for row, _ in right] == [1, 2]
