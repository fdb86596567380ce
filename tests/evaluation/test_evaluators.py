import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from seedlings import images
from seedlings.evaluation import evaluators
from seedlings.evaluation.evaluators import Evaluator, Results
from seedlings.params import Params
from seedlings.plots import charts
from seedlings.tasks import TASKS

SPLIT = ["train", "test", "test", "test", "validation", "train"]


@pytest.fixture
def evaluator(params: Params) -> Callable[..., Evaluator]:
    def make(task: str, labels: list[str]) -> Evaluator:
        paths = [f"{n}.png" for n in range(6)]
        table = pd.DataFrame({"path": paths, "label": labels, "split": SPLIT, "group": range(6)})
        return evaluators.of(TASKS[task], table, params.evaluate, seed=0)

    return make


RESULTS = {  # the test rows are b, a, b
    "baseline": np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]], np.float32),
    "finetuned": np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4]], np.float32),
}
SECOND_ALONE = {name: outputs[:, 1:] for name, outputs in RESULTS.items()}
CLASSES = ["a", "b", "a", "b", "a", "a"]


@pytest.mark.parametrize(("task", "results"), [("multiclass", RESULTS), ("binary", SECOND_ALONE)])
def test_classes_are_evaluated_on_the_test_rows_alone(
    task: str, results: Results, evaluator: Callable[..., Evaluator]
) -> None:
    found = evaluator(task, CLASSES)
    scores = found.score(results)
    assert scores["images"] == 3
    assert scores["baseline/accuracy"] == pytest.approx(1 / 3)
    assert scores["finetuned/accuracy"] == pytest.approx(2 / 3)
    assert scores["majority/accuracy"] == pytest.approx(1 / 3)
    assert scores["mcnemar/only_finetuned_right"] == 1
    assert scores["mcnemar/only_baseline_right"] == 0
    assert scores["mcnemar/p_value"] == 1.0
    assert found.score(results) == scores
    table = found.predictions(results)
    assert table["path"].tolist() == ["1.png", "2.png", "3.png"]
    assert table["label"].tolist() == ["b", "a", "b"]
    assert table["baseline"].tolist() == ["a", "a", "a"]
    assert table["finetuned"].tolist() == ["b", "a", "a"]
    assert table["finetuned_probability"].tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert found.pairs(results)["finetuned"].tolist() == ["b", "a", "a"]
    assert list(found.mistakes(results["baseline"])) == [(0, "b\nas a\n90%"), (2, "b\nas a\n60%")]


TAGS = ["sea", "sea clear", "land", "clear land", "sea", "sea"]
TAG_RESULTS = {  # clear, land, sea; the test rows are (1, 0, 1), (0, 1, 0), (1, 1, 0)
    "baseline": np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], np.float32),
    "finetuned": np.array([[0.9, 0.5, 0.8], [0.1, 0.6, 0.2], [0.9, 0.7, 0.1]], np.float32),
}


def test_tags_are_evaluated_by_f2_per_image(evaluator: Callable[..., Evaluator]) -> None:
    found = evaluator("multilabel", TAGS)
    truth = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0]])
    scores = found.score(TAG_RESULTS)
    for name, outputs in TAG_RESULTS.items():
        expected = reference.fbeta_score(truth, outputs >= 0.5, beta=2, average="samples")
        assert scores[f"{name}/f2"] == pytest.approx(expected)
    always_sea = np.tile([0, 0, 1], (3, 1))
    expected = reference.fbeta_score(truth, always_sea, beta=2, average="samples", zero_division=0)
    assert scores["majority/f2"] == pytest.approx(expected)
    assert scores["finetuned/exact_match"] == pytest.approx(2 / 3)
    table = found.predictions(TAG_RESULTS)
    assert table["finetuned"].tolist() == ["clear land sea", "land", "clear land"]
    assert table["baseline"].tolist() == ["sea", "sea", ""]
    pairs = found.pairs(TAG_RESULTS)
    assert pairs["label"].tolist()[:3] == ["present", "absent", "present"]
    assert pairs["baseline"].tolist()[:3] == ["absent", "absent", "present"]
    [(row, caption)] = found.mistakes(TAG_RESULTS["finetuned"])
    assert row == 0
    assert caption.startswith("sea clear\nas clear land sea\nF2 0.91")


NUMBERS = ["0.0", "1.0", "-1.0", "0.5", "9", "0.4"]
NUMBER_RESULTS = {
    "baseline": np.array([[0.0], [0.0], [0.0]], np.float32),
    "finetuned": np.array([[0.5], [-1.0], [0.75]], np.float32),
}


def test_numbers_are_evaluated_by_their_errors(evaluator: Callable[..., Evaluator]) -> None:
    found = evaluator("regression", NUMBERS)
    truth = np.array([1.0, -1.0, 0.5])
    scores = found.score(NUMBER_RESULTS)
    predicted = NUMBER_RESULTS["finetuned"][:, 0]
    assert scores["finetuned/mae"] == pytest.approx(0.25)
    assert scores["finetuned/rmse"] == pytest.approx(np.sqrt((0.25 + 0.0625) / 3))
    assert scores["finetuned/r2"] == pytest.approx(reference.r2_score(truth, predicted))
    assert "absent_labels" not in scores
    assert scores["mean/mae"] == pytest.approx((0.8 + 1.2 + 0.3) / 3, rel=1e-6)
    assert [row for row, _ in found.mistakes(NUMBER_RESULTS["baseline"])] == [0, 1, 2]
    assert [row for row, _ in found.mistakes(NUMBER_RESULTS["finetuned"])] == [0, 2, 1]
    assert found.table(NUMBER_RESULTS["finetuned"])["images"].sum() == 3
    assert found.pairs(NUMBER_RESULTS)["label"].tolist() == [
        "9: 0.8 to 1",
        "0: -1 to -0.8",
        "7: 0.4 to 0.6",
    ]


every_task = pytest.mark.parametrize(
    ("task", "labels", "results"),
    [
        ("multiclass", CLASSES, RESULTS),
        ("binary", CLASSES, SECOND_ALONE),
        ("multilabel", TAGS, TAG_RESULTS),
        ("regression", NUMBERS, NUMBER_RESULTS),
    ],
)


@every_task
def test_every_task_has_its_figures(
    task: str,
    labels: list[str],
    results: Results,
    evaluator: Callable[..., Evaluator],
    tmp_path: Path,
) -> None:
    drawn = evaluator(task, labels).draw(results, tmp_path)
    assert len(drawn) == (1 if task == "regression" else 3)
    assert sorted(drawn) == sorted(tmp_path.glob("*.png"))
    for path in drawn:
        assert images.read(path).shape[1] > 200
        assert images.read(path).std() > 5


def test_curves_are_of_all_tags_or_classes_in_one_and_of_the_second_of_two(
    evaluator: Callable[..., Evaluator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []
    monkeypatch.setattr(
        charts, "roc_pr_curves", lambda truth, scores, path: drawn.append((truth, scores))
    )
    evaluator("multilabel", TAGS).draw(TAG_RESULTS, tmp_path)
    evaluator("binary", CLASSES).draw(SECOND_ALONE, tmp_path)
    evaluator("multiclass", ["a", "b", "c", "a", "b", "a"]).draw(TAG_RESULTS, tmp_path)
    (tags, tag_scores), (second, second_scores), (classes, class_scores) = drawn
    assert tags.tolist() == [1, 0, 1, 0, 1, 0, 1, 1, 0]
    assert second.tolist() == [1, 0, 1]
    assert classes.tolist() == [0, 1, 0, 0, 0, 1, 1, 0, 0]
    for name in RESULTS:
        assert np.array_equal(tag_scores[name], TAG_RESULTS[name].ravel())
        assert second_scores[name] == pytest.approx(SECOND_ALONE[name].ravel())
        assert np.array_equal(class_scores[name], TAG_RESULTS[name].ravel())


def test_a_test_of_one_class_has_no_roc(
    evaluator: Callable[..., Evaluator], tmp_path: Path
) -> None:
    drawn = evaluator("binary", ["b", "a", "a", "a", "b", "b"]).draw(SECOND_ALONE, tmp_path)
    assert [path.name for path in drawn] == ["confusion.png", "reliability.png"]


def test_correct_and_wrong_answers_take_turns_by_label(evaluator: Callable[..., Evaluator]) -> None:
    found = evaluator("multiclass", ["a", "b", "b", "a", "b", "a"])
    outputs = np.array([[0.1, 0.9], [0.2, 0.8], [0.6, 0.4]], np.float32)
    correct, wrong = found.correct_and_wrong(outputs, most=5)
    assert correct == [(0, "b\n90%"), (2, "a\n60%"), (1, "b\n80%")]
    assert wrong == []
    assert found.correct_and_wrong(outputs, most=1) == [[(0, "b\n90%")], []]
    correct, wrong = evaluator("multilabel", TAGS).correct_and_wrong(
        TAG_RESULTS["finetuned"], most=5
    )
    assert correct == [(1, "land"), (2, "clear land")]
    assert [row for row, _ in wrong] == [0]
    correct, _ = evaluator("regression", NUMBERS).correct_and_wrong(
        NUMBER_RESULTS["finetuned"], most=2
    )
    assert [row for row, _ in correct] == [1, 2]


@every_task
def test_the_main_metric_is_the_first_one_and_follows_from_the_written_predictions(
    task: str, labels: list[str], results: Results, evaluator: Callable[..., Evaluator]
) -> None:
    found = evaluator(task, labels)
    text = found.predictions(results).to_csv(index=False)
    as_text = dict.fromkeys(["label", *results], str)
    written = pd.read_csv(io.StringIO(text), dtype=as_text, keep_default_na=False)
    scores = found.score(results)
    for model in results:
        name = TASKS[task].main_metric.name
        assert next(key for key in scores if key.startswith(model)) == f"{model}/{name}"
        assert TASKS[task].mean_score(written, model) == pytest.approx(
            scores[f"{model}/{name}"], abs=1e-6
        )


# Four training images, four evaluated images; the first of these duplicates a training image.
TABLE = pd.DataFrame(
    {
        "path": [f"{n}.png" for n in range(8)],
        "label": list("aabbaabb"),
        "split": ["train"] * 4 + ["test"] * 4,
        "group": [0, 1, 2, 3, 0, 5, 6, 7],
    }
)
RIGHT, WRONG = [0.9, 0.1], [0.2, 0.8]  # for the label a


def of_rows(*rows: list[float]) -> dict[str, np.ndarray]:
    finetuned = np.array(rows, np.float32)
    return {"baseline": finetuned[:, ::-1], "finetuned": finetuned}


@pytest.mark.parametrize("split", ["test", "validation"])
def test_every_metric_is_given_with_and_without_crossing_duplicates(
    split: str, params: Params
) -> None:
    outputs = of_rows(RIGHT, WRONG, RIGHT, WRONG)  # right: the duplicate, and the last
    table = TABLE.replace({"split": {"test": split}})
    evaluate = params.evaluate.model_copy(update={"split": split})
    found = evaluators.score(TASKS["multiclass"], table, evaluate, 1, outputs)
    assert found["finetuned/accuracy"] == 0.5
    assert (found["images"], found["groups"]) == (4, 4)
    assert found["without_crossing/finetuned/accuracy"] == pytest.approx(1 / 3)
    assert found["without_crossing/baseline/accuracy"] == pytest.approx(2 / 3)
    assert found["without_crossing/images"] == 3
    names = {name for name in found if not name.startswith("without_crossing/")}
    assert {f"without_crossing/{name}" for name in names} == set(found) - names
    alone = table.assign(group=range(8))
    assert set(evaluators.score(TASKS["multiclass"], alone, evaluate, 1, outputs)) == names


@pytest.mark.parametrize(
    ("task", "labels", "original", "outputs", "metric", "scores"),
    [
        (  # 6 was b, and 7 is dropped: before, one of the four answers, a b a b, was wrong
            *("multiclass", [*list("aabbaba"), ""], list("aabbabbb")),
            *([RIGHT, WRONG, RIGHT, WRONG], "accuracy", (1.0, 0.75)),
        ),
        (
            *("multilabel", ["a", "b"] * 3 + ["a b", ""], ["a", "b"] * 4),
            *([RIGHT, WRONG, [0.9, 0.9], WRONG], "f2", (1.0, (3 + 5 / 6) / 4)),
        ),
        (
            *("regression", [*"01010", "0.5", "2", ""], [*"01010", "1", "2", "4"]),
            *([[0.0], [0.5], [2.0], [1.0]], "mae", (0.0, 0.875)),
        ),
    ],
)
def test_both_scores_are_given_where_labels_were_corrected(
    task: str,
    labels: list[str],
    original: list[str],
    outputs: list[list[float]],
    metric: str,
    scores: tuple[float, float],
    params: Params,
) -> None:
    kind, table = TASKS[task], TABLE.assign(label=labels, original=original, group=range(8))
    everything = dict.fromkeys(("baseline", "finetuned"), np.array(outputs, np.float32))
    used = evaluators.of_used(table, params.evaluate, everything)
    found = evaluators.score(kind, table, params.evaluate, 1, used)
    assert (found["images"], found[f"finetuned/{metric}"]) == (3, pytest.approx(scores[0]))
    before = evaluators.score_original(kind, table, params.evaluate, 1, everything)
    assert before["original_labels/images"] == 4
    assert before[f"original_labels/finetuned/{metric}"] == pytest.approx(scores[1])
    assert (before["corrected_labels"], before["dropped_images"]) == (1, 1)
    names = {name for name in before if name.startswith("original_labels/")}
    assert {f"original_labels/{name}" for name in found} == names
    assert set(before) - names == {"corrected_labels", "dropped_images"}
    same = table.assign(label=original)
    assert evaluators.score_original(kind, same, params.evaluate, 1, everything) == {}
    other_split = params.evaluate.model_copy(update={"split": "train"})
    assert evaluators.score_original(kind, table, other_split, 1, everything) == {}


def test_with_other_classes_only_the_numbers_of_corrections_are_given(params: Params) -> None:
    table = TABLE.assign(original=list("aabbaabc"))
    everything = of_rows(RIGHT, RIGHT, WRONG, WRONG)
    found = evaluators.score_original(TASKS["multiclass"], table, params.evaluate, 1, everything)
    assert found == {"corrected_labels": 1, "dropped_images": 0}


def test_duplicates_are_one_observation(params: Params) -> None:
    """Four images in two groups: the interval is wider, and no test can tell the models apart."""
    outputs = of_rows(RIGHT, RIGHT, WRONG, WRONG)
    outputs["baseline"] = np.array([WRONG, WRONG, RIGHT, RIGHT], np.float32)
    alone = evaluators.score(
        TASKS["multiclass"], TABLE.assign(group=range(8)), params.evaluate, 1, outputs
    )
    table = TABLE.assign(group=[0, 1, 2, 3, 4, 4, 5, 5])
    found = evaluators.score(TASKS["multiclass"], table, params.evaluate, 1, outputs)
    assert (alone["finetuned/accuracy"], found["finetuned/accuracy"]) == (1.0, 1.0)
    assert (alone["groups"], found["groups"]) == (4, 2)
    assert found["finetuned/accuracy_low"] < alone["finetuned/accuracy_low"] < 1.0
    assert alone["mcnemar/p_value"] == pytest.approx(2 / 2**4)
    assert found["mcnemar/p_value"] == pytest.approx(2 / 2**2)
    assert found["mcnemar/only_finetuned_right"] == 4


def test_labels_without_an_evaluated_image_are_counted(params: Params) -> None:
    """The only evaluated image of b is a duplicate of a training image."""
    table = TABLE.assign(label=list("aabbaaab"), group=[0, 1, 2, 3, 4, 5, 6, 0])
    outputs = of_rows(RIGHT, RIGHT, RIGHT, WRONG)
    found = evaluators.score(TASKS["multiclass"], table, params.evaluate, 1, outputs)
    assert found["finetuned/macro_f1"] == 1.0
    assert found["without_crossing/finetuned/macro_f1"] == 1.0
    assert "absent_labels" not in found
    assert found["without_crossing/absent_labels"] == 1
