"""Accuracy on test images that are split with and without known groups, and on other plants.

Each of some real images of plants is photographed several times: turned, mirrored, nearer or
farther, brighter or darker. Without groups, most test images have a shot of the same plant in
training. The other plants, of which no shot is in the data, show what the model can do.
"""

import json
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.measure import PLANTS
from benchmarks.project import SMALL, Project
from seedlings import images
from seedlings.data import sample

_SHOTS = 4
_PLANTS = 40  # of each class in the data; the others are those on which the model is tried
_REAL = ("folder", "segment.method=excess_green", "split.rule=share")
_SPECIES, _IMAGES = 4, 20  # of the small benchmark
_PATTERN = r"plant-\d+"


def main(*, small: bool) -> None:
    if not small and not PLANTS.is_file():
        print(f"not measured: {PLANTS.name} is absent")
        return
    plants = drawn() if small else real()
    inside = 10 if small else _PLANTS
    common = (*SMALL, "data=folder", "split.rule=share") if small else _REAL
    with tempfile.TemporaryDirectory() as folder:
        data, others = Path(folder) / "data", Path(folder) / "others"
        rng, number = np.random.default_rng(0), 0
        for name, pictures in plants.items():
            for place, picture in enumerate(pictures):
                root = data if place < inside else others
                for shot in range(_SHOTS if root is data else 1):
                    path = root / name / f"plant-{number:04d}-{shot}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(images.encode_png(photograph(picture, rng)))
                number += 1
        count = inside * len(plants)
        print(f"{count} plants, {_SHOTS} shots of each; {number - count} other plants, one of each")
        print(
            f"{'split':<16} {'groups':>7} {'test images':>12} {'interval':>16} {'other plants':>13}"
        )
        project = Project(Path(folder) / "project", (*common, f"data.path={data}"))
        for title, pattern in (("without groups", "null"), ("with groups", _PATTERN)):
            project.set((*common, f"data.path={data}", f"data.group={pattern}"))
            project.run("dvc", "repro", "evaluate")
            path = project.root / "reports" / "evaluate" / "metrics.json"
            found = json.loads(path.read_text(encoding="utf-8"))
            own = found["finetuned"]
            interval = f"{own['accuracy_low']:.1%} to {own['accuracy_high']:.1%}"
            print(
                f"{title:<16} {found['groups']:>7.0f} {own['accuracy']:>12.1%} {interval:>16} "
                f"{on_others(project, others):>13.1%}",
                flush=True,
            )


def real() -> dict[str, list[NDArray[np.uint8]]]:
    """Return the real images of each class."""
    found: dict[str, list[NDArray[np.uint8]]] = {}
    with zipfile.ZipFile(PLANTS) as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".png")):
            picture = images.decode(archive.read(name), name=name)
            found.setdefault(Path(name).parent.name, []).append(picture)
    return found


def drawn() -> dict[str, list[NDArray[np.uint8]]]:
    """Return drawn images of some classes."""
    return {
        f"class {species}": [
            sample.draw_numbered(species, number, seed=0, size=64)[0] for number in range(_IMAGES)
        ]
        for species in range(_SPECIES)
    }


def photograph(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return another shot of a plant: 224 x 224 pixels, RGB uint8."""
    side = 224
    height, width = picture.shape[:2]
    scale = side / max(height, width) * rng.uniform(0.8, 1.2)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(0, 360), scale)
    turn[:, 2] += side / 2 - np.array([width, height]) / 2 + rng.uniform(-12, 12, 2)
    shot = cv2.warpAffine(picture, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
    if rng.random() < 0.5:
        shot = shot[:, ::-1]
    return np.clip(shot * rng.uniform(0.8, 1.2) + rng.uniform(-15, 15), 0, 255).astype(np.uint8)


def on_others(project: Project, others: Path) -> float:
    """Return the accuracy of the packaged model on the other plants."""
    answers = project.root / "answers"
    project.run("seedlings", "predict", "--output", str(answers), "--overwrite", str(others))
    found = pd.read_parquet(answers)
    truth = [Path(path).parent.name for path in found["path"]]
    return float((found["prediction"] == truth).mean())
