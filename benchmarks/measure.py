"""What the benchmarks share: images, a stopwatch, and a comparison with a goal."""

import gc
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedlings import images
from seedlings.data import sample

ROOT = Path(__file__).parents[1]
PLANTS = ROOT.parent / "shared" / "plants" / "plants-1440.zip"


def seedlings(count: int, size: int = 150) -> list[NDArray[np.uint8]]:
    """Return `count` images (RGB uint8): real ones if their archive is present, else drawn ones."""
    if PLANTS.is_file():
        with zipfile.ZipFile(PLANTS) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".png"))
            chosen = [names[place * len(names) // count] for place in range(count)]
            found = [
                images.resize(images.decode(archive.read(name)), size, size) for name in chosen
            ]
        print(f"{count} of {len(names)} real images of {size} x {size}")
        return found
    print(f"{count} drawn images of {size} x {size} ({PLANTS.name} is absent)")
    return [sample.draw_numbered(n * 12 // count, n, seed=0, size=size)[0] for n in range(count)]


def seconds(action: Callable[[], object], repeats: int = 1) -> float:
    """Return the shortest time of several runs: the one that other processes disturb least."""
    times = []
    for _ in range(repeats):
        gc.collect()
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def compare(what: str, ratio: float, goal: float) -> None:
    """Print a ratio and its goal, the smallest ratio that is enough."""
    verdict = "reached" if ratio >= goal else "NOT reached"
    print(f"{what}: {ratio:.2f} times (goal: at least {goal:g}, {verdict})", flush=True)


def limit(what: str, value: float, goal: float, unit: str) -> None:
    """Print a value and its goal, the largest value that is allowed."""
    verdict = "reached" if value <= goal else "NOT reached"
    print(f"{what}: {value:.2f} {unit} (goal: at most {goal:g} {unit}, {verdict})", flush=True)
