import numpy as np
import pandas as pd
import pytest

from seedlings.evaluation import by_task
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


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_an_evaluator(task: str) -> None:
    assert task in by_task.EVALUATORS


@pytest.mark.parametrize("split", ["test", "validation"])
def test_every_metric_is_given_with_and_without_crossing_duplicates(
    split: str, params: Params
) -> None:
    outputs = results(RIGHT, WRONG, RIGHT, WRONG)  # right: the duplicate, and the last
    table = TABLE.replace({"split": {"test": split}})
    evaluate = params.evaluate.model_copy(update={"on": split})
    found = by_task.score("multiclass", table, evaluate, 1, outputs)
    assert found["finetuned/accuracy"] == 0.5
    assert found["images"] == 4
    assert found["without_crossing/finetuned/accuracy"] == pytest.approx(1 / 3)
    assert found["without_crossing/baseline/accuracy"] == pytest.approx(2 / 3)
    assert found["without_crossing/images"] == 3
    names = {name for name in found if not name.startswith("without_crossing/")}
    assert {f"without_crossing/{name}" for name in names} == set(found) - names


def test_without_crossing_duplicates_there_is_one_set_of_metrics(params: Params) -> None:
    table = TABLE.assign(group=range(8))
    outputs = results(RIGHT, WRONG, RIGHT, WRONG)
    found = by_task.score("multiclass", table, params.evaluate, 1, outputs)
    assert not any(name.startswith("without_crossing") for name in found)
