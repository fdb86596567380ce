from pathlib import Path
from typing import Any

import assembly
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from benchmarks import arrays, networks
from seedlings.networks import architectures, models, tta
from seedlings.networks.runtime import keras
from seedlings.packaging import bundle, distances
from seedlings.params import Params
from seedlings.tasks import TASKS

SIZE = (32, 32)
PRESETS = {
    "pooled": ([], 352),
    "maps": (["extract.pooling=none"], 128),
    "flattened maps": (["extract.pooling=none", "finetune.head.pooling=flatten"], 128),
    "from scratch": (["model=seedlings", "finetune.convnet.filters=[8]"], 8),
}


@pytest.fixture(params=PRESETS)
def model(request: pytest.FixtureRequest) -> "keras.Model":
    keras.utils.set_random_seed(3)
    settings = assembly.composed("sample", *PRESETS[request.param][0])
    found = assembly.classifier(settings, SIZE, 3, TASKS["multiclass"])
    assert distances.row_of(found.get_layer("head")).output_shape == (
        None,
        PRESETS[request.param][1],
    )
    return found


def rows_of(model: "keras.Model", images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The features of images by the layers of the model."""
    row = distances.row_of(model.get_layer("head"))
    whole = architectures.assemble(model.get_layer("feature_extractor"), row)
    return models.compiled(whole)(images)


def of_mean_colours() -> "keras.Model":
    """A model with 3 pooled features: the mean colours."""
    image = keras.Input((1, 1, 3), dtype="uint8")
    features = keras.layers.GlobalAveragePooling2D()(keras.ops.cast(image, "float32"))
    extractor = keras.Model(image, features, name="feature_extractor")
    row = keras.Input((3,))
    head = keras.Model(row, keras.layers.Dense(1, name="output")(row), name="head")
    return architectures.assemble(extractor, head)


def nearest(reference: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """The distances by scikit-learn, for features that vary about equally."""
    scaler = StandardScaler().fit(reference.astype(np.float64))
    neighbours = NearestNeighbors(n_neighbors=1).fit(scaler.transform(reference))
    found, _ = neighbours.kneighbors(scaler.transform(rows.astype(np.float64)))
    return found[:, 0] / np.sqrt(reference.shape[1])


@pytest.mark.parametrize("width", [5, 1300])
def test_a_distance_is_that_to_the_nearest_standardised_row(
    width: int, rng: np.random.Generator
) -> None:
    scale, centre = rng.uniform(1.0, 3.0, width), rng.uniform(-50.0, 50.0, width)
    reference, rows = (
        (rng.normal(size=(n, width)) * scale + centre).astype(np.float32) for n in (40, 70)
    )
    rows[0] = reference[7]
    rows[1] *= 100.0
    inputs = keras.Input((width,))
    model = keras.Model(inputs, keras.layers.Dense(1, name="output")(inputs), name="head")
    network = models.compiled(distances.with_distances(model, reference))
    _, found = network(rows)
    assert found.shape == (70, 1)
    assert found[0, 0] == pytest.approx(0.0, abs=1e-2)
    assert found[1:, 0] == pytest.approx(nearest(reference, rows)[1:], rel=1e-4)


@pytest.mark.parametrize("copies", [1, 8])
def test_outputs_are_those_of_the_model_and_distances_those_of_the_image_as_it_is(
    copies: int, model: "keras.Model", rng: np.random.Generator
) -> None:
    images = rng.integers(0, 256, (6, *SIZE, 3), dtype=np.uint8)
    reference = rows_of(model, images[:4])
    averaged = tta.averaged(model, copies)
    outputs, found = models.compiled(distances.with_distances(averaged, reference))(images)
    assert outputs == pytest.approx(models.compiled(averaged)(images), abs=1e-6)
    assert found[:4, 0] == pytest.approx(np.zeros(4), abs=1e-2)
    _, plain = models.compiled(distances.with_distances(model, reference))(images)
    assert found == pytest.approx(plain, rel=1e-5, abs=1e-2)
    assert (found[4:] > 0.1).all()


def test_the_feature_extractor_runs_once_for_each_copy(rng: np.random.Generator) -> None:
    image = keras.Input((2,), dtype="uint8")
    calls: list[Any] = []

    class Counted(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            calls.append(inputs)
            return keras.ops.cast(inputs, "float32")

    features = keras.Input((2,), name="features")
    head = keras.Model(features, keras.layers.Dense(1, name="output")(features), name="head")
    extractor = keras.Model(image, Counted()(image), name="feature_extractor")
    whole = architectures.assemble(extractor, head)
    with_distance = distances.with_distances(whole, np.eye(2, dtype=np.float32))
    calls.clear()
    with_distance(np.ones((1, 2), np.uint8))
    assert len(calls) == 1


@pytest.mark.parametrize("stored", [True, False])
def test_reference_and_distances_are_the_same_from_images_and_from_stored_features(
    stored: bool, rng: np.random.Generator, tmp_path: Path
) -> None:
    settings = assembly.composed("sample", "extract.pooling=average")
    model = assembly.classifier(settings, SIZE, 3, TASKS["multiclass"])
    images = rng.integers(0, 256, (9, *SIZE, 3), dtype=np.uint8)
    rows = rows_of(model, images)
    arrays.write(tmp_path / "images", images)
    arrays.write(tmp_path / "features", rows if stored else rows[:0])
    places = tmp_path / "features", tmp_path / "images"
    table = pd.DataFrame({"label": "x", "split": ["train", "test", "train"] * 3})
    reference = distances.reference(model, *places, table, seed=1)
    assert reference == pytest.approx(rows[[0, 2, 3, 5, 6, 8]], abs=1e-4)
    found = distances.of_split(model, reference, *places, table, split="test")
    _, expected = models.compiled(distances.with_distances(model, reference))(images[[1, 4, 7]])
    assert found == pytest.approx(expected[:, 0], rel=1e-4)


def test_the_reference_is_drawn_by_the_seed_and_has_a_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = of_mean_colours()
    numbers = np.arange(3 * 600, dtype=np.float32).reshape(600, 3)
    arrays.write(tmp_path / "features", numbers)
    table = pd.DataFrame({"label": "x", "split": ["train"] * 599 + ["test"]})

    def drawn(seed: int) -> list[int]:
        place = tmp_path / "features"
        found = distances.reference(model, place, place, table, seed=seed)
        return (found[:, 0] / 3).astype(int).tolist()

    first = drawn(1)
    assert len(set(first)) == len(first) == 512
    assert 599 not in first
    assert drawn(1) == first
    assert drawn(2) != first
    monkeypatch.setattr(distances, "_MOST_BYTES", 4 * 3 * 7)
    assert len(drawn(1)) == 7


def test_the_images_beyond_the_distance_of_a_package_are_named(
    params: Params, tmp_path: Path
) -> None:
    model = of_mean_colours()
    contents = networks.contents(
        "binary", ["a", "b"], params.segment.model_dump(), largest_distance=2.0
    )
    # The mean is 100 and the standard deviation 10, so that the distances are 0, 1, 3 and 9.
    bundle.write(
        model,
        contents,
        np.repeat(np.array([[90.0], [110.0]], np.float32), 3, axis=1),
        tmp_path / "p",
    )
    rows = np.repeat(np.array([[90.0], [100.0], [140.0], [0.0], [0.0]], np.float32), 3, axis=1)
    arrays.write(tmp_path / "features", rows)
    table = pd.DataFrame({"label": "x", "split": ["test"] * 4 + ["train"]})
    place = tmp_path / "features"
    share = distances.share_beyond(model, tmp_path / "p", place, place, table, split="test")
    assert share == 0.5


@pytest.mark.parametrize(
    ("images", "share", "place", "within"),
    [
        (99, 0.01, 99, 0.99),  # the fewest with which 1% is possible
        (199, 0.01, 198, 0.99),
        (144, 0.01, 144, 144 / 145),
        (1000, 0.05, 951, 951 / 1001),
        (9, 0.01, 9, 0.9),  # too few: 1 / (n + 1) are expected beyond the largest
        (9, 0.0, 9, 0.9),
        (3, 0.99, 1, 0.25),
    ],
)
def test_the_threshold_is_the_conformal_quantile_of_validation(
    images: int, share: float, place: int, within: float, rng: np.random.Generator
) -> None:
    found, expected = distances.threshold(rng.permutation(np.arange(1.0, images + 1)), share)
    assert found == pytest.approx(place, rel=2e-5)
    assert found > place
    assert expected == pytest.approx(within, abs=1e-6)


def test_each_of_equal_images_is_beyond_the_others_threshold_with_the_expected_share(
    rng: np.random.Generator,
) -> None:
    values = rng.uniform(1.0, 2.0, 200)
    named, expected = [], 0.0
    for number, value in enumerate(values):
        largest, expected = distances.threshold(np.delete(values, number), 0.05)
        named.append(value > largest)
    assert np.mean(named) == pytest.approx(1.0 - expected) == pytest.approx(0.05)
