from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from seedlings.errors import SeedlingsError
from seedlings.networks import architectures, models
from seedlings.packaging import bundle
from seedlings.packaging.bundle import Contents, Predictor
from seedlings.params import Params, check
from seedlings.segmentation import cutouts
from seedlings.tasks import TASKS

Packed = Callable[..., Predictor]
NAMES = {"multiclass": ["a", "b", "c"], "binary": ["a", "b"], "multilabel": ["sea", "sky"]}


@pytest.fixture
def packed(tmp_path: Path, params: Params) -> Packed:
    """A package of the baseline's network for images of 20 x 24 pixels."""

    def make(task: str, usual: tuple[float, float] = (0.0, 1.0), **segment: Any) -> Predictor:
        units = {"multiclass": 3, "multilabel": 2}.get(task, 1)
        model = architectures.baseline((20, 24, 3), units, TASKS[task])
        contents = Contents(
            task=task,
            outputs=NAMES.get(task, ["value"]),
            segment={**params.segment.model_dump(), "size": [20, 24], **segment},
            tag_threshold=0.5,
            usual=usual,
        )
        bundle.write(model, contents, tmp_path / "package")
        made = Predictor(tmp_path / "package")
        assert made.contents == contents
        outputs = model.predict(np.zeros((1, 20, 24, 3), np.uint8), verbose=0)
        assert outputs.shape == (1, units)
        return made

    return make


@pytest.fixture
def pictures(noise: Callable[..., NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    return [noise(30 + n, 70 - n) for n in range(40)]


def test_classes_come_with_all_their_probabilities(
    packed: Packed, pictures: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    predictor = packed("multiclass")
    found = predictor.answer(pictures)
    assert list(found) == ["prediction", "probability", "probabilities", "unlike"]
    batch = np.stack([cutouts.one(p, predictor._segment) for p in pictures])
    expected = models.load(tmp_path / "package").predict(batch, verbose=0)
    given = pd.DataFrame(found["probabilities"].tolist())
    assert list(given) == NAMES["multiclass"]
    assert given.to_numpy() == pytest.approx(expected, abs=1e-5)
    assert found["probability"].to_numpy() == pytest.approx(expected.max(axis=1), abs=1e-5)
    assert found["prediction"].tolist() == [NAMES["multiclass"][n] for n in expected.argmax(axis=1)]
    assert (found["unlike"] == "").all()


def test_two_classes_share_one_and_tags_and_numbers_have_their_own_form(
    packed: Packed, pictures: list[NDArray[np.uint8]]
) -> None:
    found = packed("binary").answer(pictures[:3])
    for row in found.itertuples():
        assert sum(row.probabilities.values()) == pytest.approx(1.0)
        assert row.probability == max(row.probabilities.values())
    found = packed("multilabel").answer(pictures[:3])
    for row in found.itertuples():
        expected = [tag for tag, value in row.probabilities.items() if value >= 0.5]
        assert row.prediction.split() == expected
    found = packed("regression", usual=(-1e9, 1e9)).answer(pictures[:3])
    assert list(found) == ["prediction", "unlike"]
    assert found["prediction"].dtype == np.float64


def test_an_image_unlike_those_of_training_is_told_from_others(
    packed: Packed, pictures: list[NDArray[np.uint8]]
) -> None:
    black = np.zeros((50, 50, 3), np.uint8)
    reasons = packed("multiclass").answer([black, pictures[0]])["unlike"].tolist()
    assert reasons == ["no plant: 0.00% of the picture is foreground", ""]
    [reason] = packed("multiclass", usual=(0.9999, 1.0)).answer(pictures[:1])["unlike"]
    assert "is below 1, the least that is usual" in reason
    [reason] = packed("regression", usual=(-200.0, -100.0)).answer(pictures[:1])["unlike"]
    assert "is above -100, the most that is usual" in reason


def test_what_is_usual_is_the_share_of_validation_or_the_range_of_training() -> None:
    sure = np.linspace(0.5, 1.0, 101, dtype=np.float32)
    outputs = np.stack([sure, 1.0 - sure], axis=1)
    labels = np.zeros(101)
    low, high = bundle.usual(outputs, TASKS["multiclass"], labels, 0.02)
    assert (low, high) == (pytest.approx(0.51), 1.0)
    two = bundle.usual(1.0 - outputs[:, :1], TASKS["binary"], labels, 0.02)
    assert two == (pytest.approx(0.51), 1.0)
    numbers = bundle.usual(outputs, TASKS["regression"], np.array([[3.0], [-1.0]]), 0.02)
    assert numbers == (-1.0, 3.0)


def test_the_same_model_gives_the_same_bytes(packed: Packed, tmp_path: Path) -> None:
    first = packed("binary")
    before = {path.name: path.read_bytes() for path in (tmp_path / "package").iterdir()}
    bundle.write(models.load(tmp_path / "package"), first.contents, tmp_path / "package")
    assert {p.name: p.read_bytes() for p in (tmp_path / "package").iterdir()} == before


def test_no_package_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SeedlingsError, match="expected a packaged model in .*run `dvc repro`"):
        Predictor(tmp_path)


def test_the_parameters_are_those_of_the_cut_out(tree: dict[str, Any]) -> None:
    assert check(tree).segment.model_dump() == tree["segment"]
