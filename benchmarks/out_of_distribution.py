"""Out-of-distribution images: how well confidence and distance tell them from test images.

Each model is trained and packaged by the pipeline. It sees its own test images; the same images
blurred, half covered and with another hue; and images of something else. AUROC is the probability
that one of these has a lower confidence, or a larger distance, than a test image. Named are those
beyond the threshold that validation gives for a share; of the test images, these are false alarms,
beside the share that validation lets expect.
"""

import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.measure import PETS, PLANTS
from benchmarks.project import SMALL, Project
from seedlings import images
from seedlings.config import paths
from seedlings.images import Image
from seedlings.io import split_table
from seedlings.packaging import distances
from seedlings.serving.inference import BATCH
from seedlings.serving.predictor import Predictor

_SHARES = (0.01, 0.05)
_MOST = 300  # images of something else
_QUARTER = ("model=vgg16_synthetic", "extract.pooling=average", "segment.pixels=[150,150]")
_SEEDLINGS = (
    *("folder", "data.source=archive", f"data.path={PLANTS}", "data.folder=train"),
    "segment.method=excess_green",
)
_PETS = ("folder", "data.source=archive", f"data.path={PETS}")
_MODELS = {
    "seedlings, Lite0": (_SEEDLINGS, PETS),
    "seedlings, quarter VGG16": ((*_SEEDLINGS, *_QUARTER), PETS),
    "pets, Lite0": (_PETS, PLANTS),
    "pets, quarter VGG16": ((*_PETS, *_QUARTER), PLANTS),
    "sample (the default)": (("sample",), PETS),
}


@dataclass(frozen=True, slots=True)
class Scores:
    """The confidence and the distance of each of some images."""

    confidence: NDArray[np.float64]
    distance: NDArray[np.float32]


def main(*, small: bool) -> None:
    if not small and not (PLANTS.is_file() and PETS.is_file()):
        print(f"not measured: {PLANTS.name} or {PETS.name} is absent")
        return
    asked = "".join(f"{f'named at {share:.0%}':>14}" for share in _SHARES)
    print(f"{'':<25} {'images':<16} {'number':>6} {'confidence':>11} {'distance':>9}{asked}")
    models = {"sample, small": (SMALL, None)} if small else _MODELS
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder), ("sample",))
        for name, (preset, other) in models.items():
            project.set(preset)
            project.run("dvc", "repro", "package")
            report(name, project.root, noise() if other is None else of_archive(other))


def report(name: str, root: Path, other: Iterable[Image]) -> None:
    """Print a row for each kind of images."""
    predictor = Predictor(root / paths.PACKAGED)
    found = {
        kind: scores(predictor, map(change, of_split(root, "test")))
        for kind, change in _CHANGES.items()
    }
    found["something else"] = scores(predictor, other)
    validation = scores(predictor, of_split(root, "validation"))
    limits = [distances.threshold(validation.distance, share) for share in _SHARES]
    for kind, score in found.items():
        shares = [f"{(score.distance > largest).mean():.1%}" for largest, _ in limits]
        number = len(score.distance)
        areas = f"{'':>11} {'':>9}"
        if kind == "test":
            shares = [
                f"{share} ({1.0 - within:.1%})"
                for share, (_, within) in zip(shares, limits, strict=True)
            ]
        else:
            confidence = auroc(-score.confidence, -found["test"].confidence)
            areas = f"{confidence:>11.3f} {auroc(score.distance, found['test'].distance):>9.3f}"
        named = "".join(f"{share:>14}" for share in shares)
        print(f"{name:<25} {kind:<16} {number:>6} {areas}{named}", flush=True)


def scores(predictor: Predictor, pictures: Iterable[Image]) -> Scores:
    """Return the scores of images."""
    cut_outs = np.stack([predictor.cut_out(picture) for picture in pictures])
    outputs, found = predictor.run(cut_outs)
    return Scores(predictor.task.columns(outputs.astype(np.float64)).max(axis=1), found)


def auroc(unlike: NDArray, like: NDArray) -> float:
    """Return the area under the ROC curve of a score that is higher for other images."""
    truth = np.repeat([1, 0], [len(unlike), len(like)])
    return float(roc_auc_score(truth, np.concatenate([unlike, like])))


def of_split(root: Path, split: str) -> Iterable[Image]:
    """Return the images of a split of a project."""
    table = split_table.read(root / paths.SPLIT)
    names = table["path"].iloc[split_table.rows(table, split)]
    return (images.read(root / paths.RAW / name) for name in names)


def of_archive(path: Path) -> Iterable[Image]:
    """Return at most 300 images of an archive, evenly from all folders."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
        count = min(len(names), _MOST)
        for place in range(count):
            yield images.decode(archive.read(names[place * len(names) // count]))


def noise() -> Iterable[Image]:
    """Return images of noise."""
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(BATCH))


def blurred(image: Image) -> Image:
    """Return an image blurred by a Gaussian with a sigma of 3% of its shorter side."""
    return cv2.GaussianBlur(image, (0, 0), 0.03 * min(image.shape[:2]))


def half_covered(image: Image) -> Image:
    """Return an image whose right half is black."""
    covered = image.copy()
    covered[:, image.shape[1] // 2 :] = 0
    return covered


def hue_turned(image: Image) -> Image:
    """Return an image with all hues turned by 120 degrees."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + 60) % 180  # OpenCV has two degrees a step
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


_CHANGES: dict[str, Callable[[Image], Image]] = {
    "test": lambda image: image,
    "blurred": blurred,
    "half covered": half_covered,
    "hue turned": hue_turned,
}
