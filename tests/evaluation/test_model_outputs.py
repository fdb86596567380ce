from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import arrays
from seedlings.evaluation import model_outputs
from seedlings.networks.runtime import keras
from seedlings.tasks import TASKS


@pytest.mark.parametrize("stored", [True, False])
def test_the_finetuned_model_takes_features_where_there_are_any(
    stored: bool, tmp_path: Path
) -> None:
    inputs = keras.Input((2,))
    head = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="head")
    head.set_weights([np.ones((2, 1)), np.zeros(1)])
    whole = keras.Model(inputs, head(inputs * 10.0))
    arrays.write(tmp_path / "images", np.arange(6, dtype=np.float32).reshape(3, 2))
    arrays.write(tmp_path / "features", np.zeros((3 if stored else 0, 2), np.float32))
    table = pd.DataFrame({"label": list("aba"), "split": ["train", "test", "test"]})
    outputs = model_outputs.predict_finetuned(
        whole, tmp_path / "features", tmp_path / "images", table, TASKS["binary"]
    )
    assert outputs[:, 0].tolist() == ([0.0, 0.0] if stored else [50.0, 90.0])
