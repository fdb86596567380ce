"""The demo's page, run by Streamlit's own simulation of a browser."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import assembly
import numpy as np
import pytest
from imports import ROOT
from numpy.typing import NDArray

from benchmarks import networks
from seedlings import images
from seedlings.params import check
from seedlings.serving.predictor import Predictor
from seedlings.tasks import TASKS

testing = pytest.importorskip("streamlit.testing.v1", reason="there is no Streamlit here")

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "seedlings" / "serving" / "demo_page.py"
NAMES = {
    "multiclass": [f"kind_{number:02d}*" for number in range(15)],
    "binary": ["a", "b"],
    "regression": ["value"],
}
Opened = Callable[..., Any]


@pytest.fixture
def opened(tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """The page for a package of a small network for a task."""

    def make(task: str, largest_distance: float = 1e9) -> Any:
        tree["extract"]["backbone"] = "none"
        tree["finetune"]["convnet"]["filters"] = [4]
        tree["segment"].update(pixels=[24, 24], method="none")
        params = check(tree)
        units = 1 if task != "multiclass" else len(NAMES[task])
        model = assembly.classifier(params, (24, 24), units, TASKS[task])
        segment = params.segment.model_dump()
        contents = networks.contents(task, NAMES[task], segment, largest_distance=largest_distance)
        networks.package(model, contents, tmp_path / task)
        monkeypatch.setattr(sys, "argv", ["demo", str(tmp_path / task)])
        return testing.AppTest.from_file(str(SCRIPT), default_timeout=600).run()

    return make


def dropped(page: Any, data: bytes) -> Any:
    page.file_uploader[0].upload("leaf.png", data, "image/png")
    page.run()
    assert not page.exception
    return page


def plain(markdown: str) -> str:
    """What Markdown shows of a text of which every mark is escaped."""
    assert not re.search(r"(?<!\\)[*_:`~\[]", markdown)
    return re.sub(r"\\(.)", r"\1", markdown)


def test_only_what_markdown_has_an_escape_for_is_escaped() -> None:
    from seedlings.serving import demo

    assert demo.plain("Shepherd’s *_purse_* → 3%") == r"Shepherd’s \*\_purse\_\* → 3\%"


@pytest.fixture
def picture(noise: Callable[..., NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return noise(40, 50)


def test_the_likeliest_classes_are_shown_with_the_model_s_own_probabilities(
    opened: Opened, picture: NDArray[np.uint8], tmp_path: Path
) -> None:
    page = opened("multiclass")
    assert [text.value for text in page.title] == ["Seedlings"]
    assert not page.header
    page = dropped(page, images.encode_png(picture))
    row = Predictor(tmp_path / "multiclass").answer([picture]).iloc[0]
    assert [plain(text.value) for text in page.header] == [row["prediction"]]
    ranked = sorted(row["probabilities"].items(), key=lambda entry: -entry[1])
    bars = [bar.proto for bar in page.get("progress")]
    texts = [plain(bar.text) for bar in bars]
    assert texts == [f"{name}: {value:.1%}" for name, value in ranked[:5]]
    assert [text.value for text in page.caption] == ["and 10 that are less likely"]
    assert not page.warning


def test_the_image_is_shown_beside_its_cut_out_and_its_grad_cam(
    opened: Opened, picture: NDArray[np.uint8]
) -> None:
    page = dropped(opened("binary"), images.encode_png(picture))
    captions = [image.caption for part in page.get("image") for image in part.proto.imgs]
    assert captions == [
        "Image",
        "Input of the network",
        "Grad-CAM of the prediction",
    ]


def test_a_number_is_shown_alone(
    opened: Opened, picture: NDArray[np.uint8], tmp_path: Path
) -> None:
    page = dropped(opened("regression"), images.encode_png(picture))
    value = Predictor(tmp_path / "regression").answer([picture])["prediction"][0]
    assert [plain(text.value) for text in page.header] == [f"{value:.4g}"]
    assert not page.warning
    assert not page.get("progress")


def test_that_an_image_is_out_of_distribution_is_larger_than_its_class(
    opened: Opened, picture: NDArray[np.uint8], tmp_path: Path
) -> None:
    page = dropped(opened("binary", largest_distance=0.0), images.encode_png(picture))
    row = Predictor(tmp_path / "binary").answer([picture]).iloc[0]
    [header], [warning], [below] = page.header, page.warning, page.subheader
    assert plain(header.value) == "Out-of-distribution: unlike the training images"
    reason = row["out_of_distribution"].removeprefix("unlike the training images: d")
    assert plain(warning.value) == f"D{reason}. The prediction below is not reliable."
    assert plain(below.value) == row["prediction"]


def test_a_file_that_is_no_image_has_an_error(opened: Opened, picture: NDArray[np.uint8]) -> None:
    page = dropped(opened("binary"), images.encode_png(picture)[:200])
    [error] = page.error
    assert "leaf.png: expected a whole image" in plain(error.value)
    assert not page.header
