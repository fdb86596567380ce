import numpy as np
import pandas as pd
import pytest

from seedlings.evaluation import evaluators
from seedlings.params import Params
from seedlings.tasks import TASKS

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


def results(*rows: list[float]) -> dict[str, np.ndarray]:
    finetuned = np.array(rows, np.float32)
    return {"baseline": finetuned[:, ::-1], "finetuned": finetuned}


@pytest.mark.parametrize("split", ["test", "validation"])
def test_every_metric_is_given_with_and_without_crossing_duplicates(
    split: str, params: Params
) -> None:
    outputs = results(RIGHT, WRONG, RIGHT, WRONG)  # right: the duplicate, and the last
    table = TABLE.replace({"split": {"test": split}})
    evaluate = params.evaluate.model_copy(update={"on": split})
    found = evaluators.score(TASKS["multiclass"], table, evaluate, 1, outputs)
    assert found["finetuned/accuracy"] == 0.5
    assert (found["images"], found["groups"]) == (4, 4)
    assert found["without_crossing/finetuned/accuracy"] == pytest.approx(1 / 3)
    assert found["without_crossing/baseline/accuracy"] == pytest.approx(2 / 3)
    assert found["without_crossing/images"] == 3
    names = {name for name in found if not name.startswith("without_crossing/")}
    assert {f"without_crossing/{name}" for name in names} == set(found) - names


def test_duplicates_are_one_observation(params: Params) -> None:
    """Four images in two groups: the interval is wider, and no test can tell the models apart."""
    outputs = results(RIGHT, RIGHT, WRONG, WRONG)
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


def test_a_single_group_has_no_interval(params: Params) -> None:
    table = TABLE.assign(group=[0, 1, 2, 3, 4, 4, 4, 4])
    outputs = results(RIGHT, WRONG, RIGHT, WRONG)
    found = evaluators.score(TASKS["multiclass"], table, params.evaluate, 1, outputs)
    assert not any(name.endswith(("_low", "_high")) for name in found)
    assert found["groups"] == 1


def test_labels_without_an_evaluated_image_are_counted(params: Params) -> None:
    """The only evaluated image of b is a duplicate of a training image."""
    table = TABLE.assign(label=list("aabbaaab"), group=[0, 1, 2, 3, 4, 5, 6, 0])
    outputs = results(RIGHT, RIGHT, RIGHT, WRONG)
    found = evaluators.score(TASKS["multiclass"], table, params.evaluate, 1, outputs)
    assert found["finetuned/macro_f1"] == 1.0
    assert found["without_crossing/finetuned/macro_f1"] == 1.0
    assert "absent_labels" not in found
    assert found["without_crossing/absent_labels"] == 1


def test_without_crossing_duplicates_there_is_one_set_of_metrics(params: Params) -> None:
    table = TABLE.assign(group=range(8))
    outputs = results(RIGHT, WRONG, RIGHT, WRONG)
    found = evaluators.score(TASKS["multiclass"], table, params.evaluate, 1, outputs)
    assert not any(name.startswith("without_crossing") for name in found)
