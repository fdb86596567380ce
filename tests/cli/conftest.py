"""A small packaged model, and a command that predicts with it."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import networks
from seedlings import images
from seedlings.networks import architectures
from seedlings.params import Params
from seedlings.tasks import TASKS


@pytest.fixture
def command(tmp_path: Path, params: Params) -> list[str]:
    """The command for a folder with an image, with a small model and --output."""
    segment = {**params.segment.model_dump(), "pixels": [20, 24]}
    model = architectures.baseline((20, 24, 3), 1, TASKS["binary"])
    contents = networks.contents("binary", ["a", "b"], segment)
    networks.package(model, contents, tmp_path / "model")
    (tmp_path / "images").mkdir()
    black = images.encode_png(np.zeros((30, 30, 3), np.uint8))
    (tmp_path / "images" / "1.png").write_bytes(black)
    options = ["--model", str(tmp_path / "model"), "--output", str(tmp_path / "answers.parquet")]
    return ["predict", str(tmp_path / "images"), *options]
