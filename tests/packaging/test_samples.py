from pathlib import Path

import assembly
import numpy as np
import pandas as pd
import pytest

from benchmarks import arrays
from seedlings.networks import architectures, models, tta
from seedlings.networks.runtime import keras
from seedlings.packaging import distances, samples
from seedlings.tasks import TASKS

SIZE = (32, 32)
SPLITS = ["test", "validation"]


@pytest.fixture(params=[[], ["extract.pooling=none"]], ids=["pooled", "maps"])
def model(request: pytest.FixtureRequest) -> "keras.Model":
    keras.utils.set_random_seed(3)
    settings = assembly.composed("sample", *request.param)
    return assembly.classifier(settings, SIZE, 3, TASKS["multiclass"])


@pytest.mark.parametrize("copies", [1, 2])
def test_the_validation_images_of_a_bundle_have_their_features_and_outputs(
    copies: int, model: "keras.Model", tmp_path: Path, rng: np.random.Generator
) -> None:
    images = rng.integers(0, 256, (30, *SIZE, 3), dtype=np.uint8)
    arrays.write(tmp_path / "images", images)
    features = models.compiled(model.get_layer("feature_extractor"))(images)
    arrays.write(tmp_path / "features", features)
    table = pd.DataFrame({"label": ["a", "b", "c"] * 10, "split": ["train"] * 10 + SPLITS * 10})
    table["group"] = [*range(20), *range(10, 20)]
    averaged = tta.averaged(model, copies)
    arguments = (averaged, tmp_path / "features", tmp_path / "images", table)
    rows, outputs = samples.of_validation(*arguments, shares={}, seed=1)
    assert len(rows) == len(outputs) == 5  # one of each group
    expected = models.compiled(averaged)(images)
    used = [int(np.abs(expected - output).sum(axis=1).argmin()) for output in outputs]
    assert sorted(table["group"][used]) == [11, 13, 15, 17, 19]
    np.testing.assert_allclose(outputs, expected[used], rtol=1e-4, atol=1e-6)
    row = distances.row_of(model.get_layer("head"))
    whole = architectures.assemble(model.get_layer("feature_extractor"), row)
    expected = models.compiled(whole)(images[used])
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)
    again, _ = samples.of_validation(*arguments, shares={}, seed=1)
    assert np.array_equal(rows, again)


@pytest.mark.parametrize(
    ("labels", "shares", "kept"),
    [
        (["a"] * 20 + ["b"] * 20, {"a": 0.5, "b": 0.5}, {"a": 20, "b": 20}),
        (["a"] * 18 + ["b"] * 22, {"a": 0.5, "b": 0.5}, {"a": 18, "b": 22}),  # by chance
        (["a"] * 20 + ["b"] * 20, {"a": 0.8, "b": 0.2}, {"a": 20, "b": 5}),
        (["a"] * 20 + ["b"] * 20, {}, {"a": 20, "b": 20}),
    ],
)
def test_validation_images_have_the_class_shares_of_training(
    labels: list[str], shares: dict[str, float], kept: dict[str, int]
) -> None:
    places = samples._like(pd.Series(labels), shares)
    assert pd.Series(labels).iloc[places].value_counts().to_dict() == kept
