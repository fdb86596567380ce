"""R2 on the test images of a drive that is split with and without blocks, and on another drive.

The drives are films: the angle and the ground change slowly, so an image resembles its neighbours.
Without blocks, most test images have neighbours in training, and the network can answer from them.
The other drive shows what the network can do where it has not been.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from benchmarks import networks
from benchmarks.measure import ROOT
from seedlings import images, params
from seedlings.cli import presets
from seedlings.config.records import Record
from seedlings.data import annotations, duplicates, image_folder, splits
from seedlings.evaluation import metrics, model_outputs
from seedlings.networks import backbones, runtime
from seedlings.networks.runtime import keras
from seedlings.params import Params
from seedlings.segmentation import cutouts
from seedlings.tasks import TASKS
from seedlings.training import batches, fit

_FRAMES, _SCENE = 2_400, 120  # images of a drive, and between two grounds
_HEIGHT, _WIDTH = 48, 96
_COMMON = [
    f"segment.pixels=[{_HEIGHT},{_WIDTH}]",
    "extract.cropping=[0,0,0,0]",
    "finetune.epochs=12",
    "finetune.early_stopping=null",
]


def main() -> None:
    os.chdir(ROOT)
    length = params.check(presets.compose(["driving"])).data.annotations.block
    print(f"{_FRAMES} images of a drive; R2 of a small network")
    print(f"{'':<22} {'test images':>12} {'another drive':>14} {'difference':>11}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number, name in enumerate(("drive", "other")):
            write_film(root / name, np.random.default_rng(number))
        for block in (None, length):
            value = "null" if block is None else str(block)
            changes = [*_COMMON, f"data.annotations.block={value}", f"data.path={root}"]
            settings = params.check(presets.compose(["driving", *changes]))
            own, other = r2(settings, root)
            name = f"blocks of {block} rows" if block else "without blocks"
            print(f"{name:<22} {own:>12.3f} {other:>14.3f} {own - other:>11.3f}", flush=True)


def r2(settings: Params, root: Path) -> tuple[float, float]:
    """Return R2 of a trained network on the test images of a drive, and on another drive."""
    task = TASKS[settings.task]
    runtime.prepare(settings.seed, settings.threads)
    drive, other = (prepared(settings, root / name) for name in ("drive", "other"))
    backbone = backbones.build(settings.extract, *settings.segment.pixels)
    model = networks.classifier(backbone, 1, task, settings.finetune)
    with batches.of_training(
        drive.images, drive.table, task, size=settings.finetune.batch_size, seed=settings.seed
    ) as (train, validation):
        fit.train_head(
            model, train, validation, record=Record("finetune"), task=task, params=settings.finetune
        )
    everything = Drive(other.images, other.table.assign(split="test"))
    return score(model, drive, settings), score(model, everything, settings)


@dataclass(frozen=True, slots=True)
class Drive:
    """The prepared images of a drive, and their split table."""

    images: Path
    table: pd.DataFrame


def prepared(settings: Params, root: Path) -> Drive:
    """Return a drive as the stages split and segment prepare it."""
    task, csv = TASKS[settings.task], settings.data.annotations
    table, _, _ = image_folder.read(root, csv, settings.split.rule, task)
    table, _ = duplicates.fingerprint(root, table)
    table["unit"] = annotations.units(table, csv.block)
    table["group"] = duplicates.group(table, settings.split.duplicate_distance)
    table["split"] = splits.choose(table, task, settings.split, settings.seed)
    target = root.with_name(f"{root.name}-{csv.block}")
    cutouts.make(root, table, settings.segment, target)
    return Drive(target, table)


def score(model: "keras.Model", drive: Drive, settings: Params) -> float:
    """Return R2 on the rows of a drive whose split is test."""
    task = TASKS[settings.task]
    outputs = model_outputs.predict(model, drive.images, drive.table, task, split="test")
    truth = task.targets(drive.table["label"])[(drive.table["split"] == "test").to_numpy()]
    return metrics.errors(truth[:, 0], outputs[:, 0])["r2"]


def write_film(root: Path, rng: np.random.Generator) -> None:
    """Write the images of a drive and its driving_log.csv, as Udacity's simulator does."""
    (root / "IMG").mkdir(parents=True)
    angles, sways = slow(rng, 25.0), slow(rng, 10.0)
    lines = []
    for number in range(_FRAMES):
        if number % _SCENE == 0:
            ground = rng.integers(40, 200, (6, 12, 3), dtype=np.uint8)
            ground = cv2.resize(ground, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_LINEAR)
            asphalt = rng.integers(40, 200, 3).tolist()
        name = f"center_{number:05d}.png"
        picture = road(ground, asphalt, angle=angles[number], sway=sways[number])
        noisy = picture + rng.normal(0.0, 6.0, picture.shape)
        picture = np.clip(noisy, 0, 255).astype(np.uint8)
        (root / "IMG" / name).write_bytes(images.encode_png(picture))
        lines.append(f"IMG/{name}, IMG/left, IMG/right, {angles[number]:.6f}, 1, 0, 30")
    (root / "driving_log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def slow(rng: np.random.Generator, scale: float) -> np.ndarray:
    """Return a random number for each frame that changes over `scale` frames, between -1 and 1."""
    noise = rng.normal(0.0, 1.0, _FRAMES)
    smooth = cv2.GaussianBlur(noise[None], (0, 0), scale)[0]
    return np.tanh(smooth / smooth.std())


def road(ground: np.ndarray, asphalt: list[int], *, angle: float, sway: float) -> np.ndarray:
    """Return a road that bends by `angle`, seen from a car that sways: 48 x 96, RGB uint8."""
    picture = ground.copy()
    far = np.linspace(0.0, 1.0, 20)
    middle = _WIDTH / 2 + 14 * sway * (1 - far) + angle * 26 * far**2
    half = 22 * (1 - 0.8 * far)
    rows = _HEIGHT - far * 30
    outline = np.vstack(
        [np.column_stack([middle - half, rows]), np.column_stack([middle + half, rows])[::-1]]
    )
    cv2.fillPoly(picture, [np.round(outline).astype(np.int32)], asphalt)
    return picture


if __name__ == "__main__":
    main()
