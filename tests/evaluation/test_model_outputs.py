from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import arrays
from seedlings.evaluation import model_outputs
from seedlings.networks.runtime import keras
from seedlings.tasks import TASKS


@pytest.mark.parametrize(
    ("stored", "split", "expected"),
    [
        (True, "test", [0.0, 0.0]),
        (False, "test", [50.0, 90.0]),  # 10 * (2 + 3), 10 * (4 + 5)
        (False, "validation", [130.0]),  # 10 * (6 + 7)
    ],
)
def test_the_finetuned_model_takes_features_where_there_are_any(
    stored: bool, split: str, expected: list[float], tmp_path: Path
) -> None:
    inputs = keras.Input((2,))
    head = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="head")
    head.set_weights([np.ones((2, 1)), np.zeros(1)])
    whole = keras.Model(inputs, head(inputs * 10.0))
    arrays.write(tmp_path / "images", np.arange(8, dtype=np.float32).reshape(4, 2))
    arrays.write(tmp_path / "features", np.zeros((4 if stored else 0, 2), np.float32))
    table = pd.DataFrame({"label": list("abab"), "split": ["train", "test", "test", "validation"]})
    outputs = model_outputs.predict_finetuned(
        whole, tmp_path / "features", tmp_path / "images", table, TASKS["binary"], split=split
    )
    assert outputs[:, 0].tolist() == expected
