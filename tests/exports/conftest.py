from collections.abc import Callable
from pathlib import Path
from typing import Any

import assembly
import numpy as np
import pytest

from benchmarks import networks
from seedlings import images
from seedlings.networks import tta
from seedlings.params import check
from seedlings.tasks import TASKS

NAMES = {"multiclass": ["ä", "b", "c"], "binary": ["a", "b"], "multilabel": ["x", "y"]}
Package = Callable[..., Path]


@pytest.fixture
def package(tmp_path: Path, tree: dict[str, Any]) -> Package:
    """A bundle with a small network of random weights, for images of 32 x 32 pixels.

    `features` is `none` for a ConvNet, or the layers of the quarter VGG16 that are pooled.
    """

    def make(task: str, *, copies: int = 1, features: str = "none", name: str = "package") -> Path:
        names = NAMES.get(task, ["value"])
        tree["segment"].update(pixels=[32, 32], method="excess_green", fit="pad")
        tree["finetune"]["convnet"]["filters"] = [4]
        if features == "none":
            tree["extract"]["backbone"] = "none"
        else:
            tree["extract"] |= {"width": 0.25, "pooling": "average", "layers": features.split()}
            tree["finetune"]["convnet"]["filters"] = []
        params = check(tree)
        units = 1 if task == "binary" else len(names)
        model = assembly.classifier(params, (32, 32), units, TASKS[task])
        segment = params.segment.model_dump()
        contents = networks.contents(task, names, segment, largest_distance=1.0)
        networks.package(tta.averaged(model, copies), contents, tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def files(rng: np.random.Generator) -> list[tuple[str, bytes]]:
    """40 images of leaves, of 30 x 50 to 69 x 89 pixels, and a text."""
    found = []
    for number in range(40):
        image = rng.integers(0, 120, (30 + number, 50 + number, 3), dtype=np.uint8)
        image[5:25, 10 : 15 + number, 1] += 100
        found.append((f"{number:02d}.png", images.encode_png(image)))
    return [*found, ("notes.txt", b"notes")]
