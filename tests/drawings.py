"""Small data sets that tests draw themselves, in the layouts of the systems' public data."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from seedlings import images

Image = np.ndarray


def _ground(height: int, width: int, rng: np.random.Generator) -> Image:
    """A mottled background."""
    coarse = rng.integers(60, 140, (height // 16, width // 16, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def road(angle: float, rng: np.random.Generator) -> Image:
    """A road, 160 x 320, that bends by `angle` (-1 left .. 1 right), with noise above and below."""
    picture = _ground(160, 320, rng)
    far = np.linspace(0.0, 1.0, 60)
    middle = 160 + rng.normal(0, 4) + angle * 110 * far**2
    half = 70 * (1 - 0.8 * far)
    rows = 140 - far * 90
    left = np.column_stack([middle - half, rows])
    right = np.column_stack([middle + half, rows])
    outline = np.round(np.vstack([left, right[::-1]])).astype(np.int32)
    cv2.fillPoly(picture, [outline], rng.integers(20, 50, 3).tolist())
    picture[:50] = rng.integers(0, 256, (50, 320, 3))
    picture[-20:] = rng.integers(0, 256, 3)
    return picture


def write_drive(root: Path, count: int, rng: np.random.Generator) -> None:
    """A driving log and its images, as Udacity's simulator writes them on Windows."""
    (root / "IMG").mkdir(parents=True)
    lines = []
    for number, angle in enumerate(rng.uniform(-1.0, 1.0, count)):
        name = f"center_{number:04d}.png"
        (root / "IMG" / name).write_bytes(images.encode_png(road(angle, rng)))
        paths = [f"C:\\drive\\IMG\\{side}{name[6:]}" for side in ("center", "left", "right")]
        lines.append(", ".join([*paths, f"{angle:.6f}", "1", "0", "30.2"]))
    (root / "driving_log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _disc(picture: Image, rng: np.random.Generator) -> None:
    cv2.circle(picture, _place(picture, rng), len(picture) // 9, (220, 40, 40), -1)


def _square(picture: Image, rng: np.random.Generator) -> None:
    x, y = _place(picture, rng)
    side = len(picture) // 9
    cv2.rectangle(picture, (x - side, y - side), (x + side, y + side), (40, 220, 40), -1)


def _cross(picture: Image, rng: np.random.Generator) -> None:
    size = len(picture) // 4
    cv2.drawMarker(picture, _place(picture, rng), (40, 40, 230), cv2.MARKER_CROSS, size, 8)


SHAPES: dict[str, Callable[[Image, np.random.Generator], None]] = {
    "cross": _cross,
    "disc": _disc,
    "square": _square,
}


def _place(picture: Image, rng: np.random.Generator) -> tuple[int, int]:
    height, width = picture.shape[:2]
    x, y = rng.uniform(0.25, 0.75, 2) * (width, height)
    return round(x), round(y)


def write_tagged(root: Path, count: int, rng: np.random.Generator) -> None:
    """Pictures of some shapes each, and train.csv with their names and tags."""
    (root / "train").mkdir(parents=True)
    lines = ["image_name,tags"]
    for number in range(count):
        tags = [name for name in SHAPES if rng.random() < 0.5] or ["disc"]
        picture = _ground(128, 128, rng)
        for tag in tags:
            SHAPES[tag](picture, rng)
        (root / "train" / f"train_{number}.jpg").write_bytes(images.encode_png(picture))
        lines.append(f"train_{number},{' '.join(tags)}")
    (root / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_folders(
    root: Path, counts: dict[str, int], classes: dict[str, str], size: int, rng: np.random.Generator
) -> None:
    """A split data set: `counts[split]` pictures of each class, which shows one shape."""
    for split, count in counts.items():
        for label, shape in classes.items():
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                picture = _ground(size, size, rng)
                SHAPES[shape](picture, rng)
                (folder / f"{label}-{number}.png").write_bytes(images.encode_png(picture))
