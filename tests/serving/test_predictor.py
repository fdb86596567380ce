import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import ExifTags
from PIL import Image as PillowImage

from benchmarks import arrays, networks
from seedlings import processor
from seedlings.config.reuse import Reuse
from seedlings.io import parts
from seedlings.io.shards import Here, Shard
from seedlings.networks import architectures, models
from seedlings.packaging import bundle
from seedlings.params import Params
from seedlings.segmentation import cutouts, preprocessing
from seedlings.segmentation.params import FITS, Fit
from seedlings.serving import bulk, predictions
from seedlings.serving.predictor import Predictor
from seedlings.tasks import TASKS

Packaged = Callable[..., Predictor]
# The mean colours of two images; their standard deviation is 20 for each colour.
GREY = np.array([[80.0] * 3, [120.0] * 3], np.float32)
DARK_GREY_RED = [(20, 20, 20), (120, 120, 120), (200, 120, 120)]
NAMES = {"multiclass": ["a", "b", "c"], "binary": ["a", "b"]}


@pytest.fixture
def packaged(tmp_path: Path, params: Params) -> Packaged:
    """The predictor of the baseline's network for images of 20 x 24 pixels."""

    def make(task: str, largest_distance: float = 1e9, **segment: Any) -> Predictor:
        units = 3 if task == "multiclass" else 1
        model = architectures.baseline((20, 24, 3), units, TASKS[task])
        contents = networks.contents(
            task,
            NAMES.get(task, ["value"]),
            {**params.segment.model_dump(), "pixels": [20, 24], **segment},
            largest_distance=largest_distance,
            share_within=0.993,
        )
        bundle.write(model, contents, GREY, tmp_path / "package")
        return Predictor(tmp_path / "package")

    return make


@pytest.fixture
def pictures(noise: Callable[..., NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    return [noise(30 + n, 70 - n) for n in range(40)]


def test_classes_come_with_all_their_probabilities(
    packaged: Packaged, pictures: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    predictor = packaged("multiclass")
    found = predictor.answer(pictures)
    assert list(found) == ["prediction", "probability", "probabilities", "out_of_distribution"]
    batch = np.stack([preprocessing.cut_out(p, predictor.segment) for p in pictures])
    assert np.array_equal(predictor.cut_out(pictures[0]), batch[0])
    expected = models.load(tmp_path / "package").predict(batch, verbose=0)
    given = pd.DataFrame(found["probabilities"].tolist())
    assert list(given) == NAMES["multiclass"]
    assert given.to_numpy() == pytest.approx(expected, abs=1e-5)
    assert found["probability"].to_numpy() == pytest.approx(expected.max(axis=1), abs=1e-5)
    assert found["prediction"].tolist() == [NAMES["multiclass"][n] for n in expected.argmax(axis=1)]
    assert (found["out_of_distribution"] == "").all()


def test_an_out_of_distribution_image_has_the_reason(packaged: Packaged) -> None:
    dark, grey, red = (np.full((50, 60, 3), colour, np.uint8) for colour in DARK_GREY_RED)
    found = packaged("multiclass", largest_distance=0.5, method="none").answer([dark, grey, red])
    assert found["out_of_distribution"].tolist() == [
        # (80 - 20) / 20 for each colour, and (200 - 120) / 20 for one of three
        "unlike the training images: distance 3; 99.3% of images like them are within 0.5",
        "",
        "unlike the training images: distance 2.31; 99.3% of images like them are within 0.5",
    ]
    found = packaged("regression").answer([np.zeros_like(dark)])
    assert found["out_of_distribution"].tolist() == ["empty mask: 0.00% of the image is foreground"]


def test_the_reason_does_not_depend_on_the_other_images(
    packaged: Packaged, pictures: list[NDArray[np.uint8]]
) -> None:
    predictor = packaged("binary", largest_distance=0.1)
    together = predictor.answer(pictures)["out_of_distribution"].tolist()
    alone = [predictor.answer([picture])["out_of_distribution"][0] for picture in pictures]
    assert together == alone
    assert len(set(together)) > 10


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("fit", FITS)
def test_a_large_photograph_is_cut_out_for_prediction_as_for_training(
    fit: Fit, orientation: int, packaged: Packaged, params: Params, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    exif = PillowImage.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    PillowImage.fromarray(coarse).resize((731, 480)).save(photos / "a.jpg", exif=exif)
    data = (photos / "a.jpg").read_bytes()
    table = pd.DataFrame({"path": ["a.jpg"], "digest": [parts.digest(data)]})
    segment = params.segment.model_copy(update={"pixels": [20, 24], "fit": fit})
    target = tmp_path / "array"
    shares = cutouts.make(photos, table, segment, target, engine=Here(), last=Reuse("key"))
    trained = arrays.read(target, 0, 1)

    predictor = packaged("multiclass", fit=fit)
    image = predictor.decode(data)
    assert image.shape == {1: (60, 92, 3), 6: (92, 60, 3)}[orientation]
    assert np.array_equal(predictor.cut_out(image), trained[0])
    bulky = bulk.Answers(tmp_path / "package").read(Shard("a", (str(photos / "a.jpg"),), ("a",)))
    assert np.array_equal(bulky.cut_outs[:1], trained)
    assert bulky.shares[0] == shares[0]
    answer, _ = predictions.of_files(predictor, [photos])
    expected = predictor.answer_cut_outs(trained, list(shares))
    pd.testing.assert_frame_equal(answer.drop(columns="path"), expected)


@pytest.mark.parametrize("portable", [True, False])
def test_a_predictor_has_the_settings_of_the_processor_of_its_bundle(
    portable: bool, packaged: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = packaged("binary").contents
    path = tmp_path / "package" / "bundle.json"
    text = json.dumps({**asdict(contents), "portable": portable})
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    with pytest.warns(RuntimeWarning, match="before Python starts"):  # TensorFlow has computed
        Predictor(tmp_path / "package")
    assert processor.current() == {"ONEDNN_MAX_CPU_ISA": "AVX2" if portable else None}
