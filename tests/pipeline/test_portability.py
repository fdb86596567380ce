"""Stages on an emulated processor."""

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from project import Project

EMULATOR = shutil.which("qemu-x86_64")
# Stages in one process: importing TensorFlow takes half a minute on an emulated processor.
STAGES = """
import sys
from contextlib import nullcontext

from seedlings import processor

processor.pin()
from seedlings import params
from seedlings.config import pipeline, stage

for name in sys.argv[1:]:
    stage.run(
        name, lambda record: nullcontext(), values=params.load(), pipeline=pipeline.read()
    )
"""
FOLDERS = {
    "extract": ["data/features", "models/backbone"],
    "baseline": ["models/baseline"],
    "finetune": ["models/finetuned"],
    "package": ["models/packaged"],
}
BACKBONES = {
    "VGG16": {
        "extract__weights": "random",
        "extract__width": 0.125,
        "extract__cut": "block5_pool",
        "extract__pooling": "none",
        "finetune__convnet__filters": [8],
    },
    "EfficientNetLite0": {  # the baseline is the same
        "extract__weights": "imagenet",
        "extract__width": 1.0,
        "extract__cut": None,
        "extract__pooling": "average",
        "finetune__convnet__filters": [],
    },
}


@pytest.mark.nightly
@pytest.mark.skipif(EMULATOR is None, reason="qemu-x86_64 is absent (Debian: qemu-user)")
@pytest.mark.parametrize("backbone", BACKBONES)
def test_an_emulated_haswell_extracts_and_trains_the_same_bytes(
    backbone: str, new_project: Callable[..., Project]
) -> None:
    """A first run on this processor makes the inputs; then both have the same ones."""
    project = new_project()
    project.in_process = False
    project.set(
        data__sample__images_per_class=4,
        data__sample__side=48,
        split__validation_per_class=1,
        segment__pixels=[48, 48],
        baseline__epochs=1,
        finetune__epochs=2,
        finetune__convnet__pool=1,
        finetune__convnet__padding="same",
        finetune__convnet__batch_normalization="after_convolution",
        extract__backbone=backbone,
        **BACKBONES[backbone],
    )
    stages = [stage for stage in FOLDERS if stage != "baseline" or backbone == "VGG16"]
    project.run(sys.executable, "-c", STAGES, "download", "split", "segment", *stages)
    here = digests(project.root)
    assert len(here) >= 8
    folders = [folder for stage in stages for folder in FOLDERS[stage]]
    for folder in (*folders, "reports/finetune"):
        assert any(path.startswith(f"{folder}/") for path in here), folder
    for folder in folders:
        shutil.rmtree(project.root / folder)
    project.run(*(str(EMULATOR), "-cpu", "Haswell", sys.executable, "-c", STAGES), *stages)
    assert digests(project.root) == here


def digests(root: Path) -> dict[str, str]:
    folders = [root / folder for made in FOLDERS.values() for folder in made]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    paths = [*files, *(root / "reports").glob("*/history.csv")]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}
