"""What the measurements share: images, a watch, and a way to print a comparison."""

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
    """So many images (RGB uint8): real ones where they are at hand, else drawn ones."""
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
    """The shortest of several runs: what the work takes where nothing else is in the way."""
    times = []
    for _ in range(repeats):
        gc.collect()
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def compare(what: str, ratio: float, goal: float) -> None:
    """Print a ratio beside its goal."""
    verdict = "reached" if ratio >= goal else "NOT reached"
    print(f"{what}: {ratio:.2f} times (goal: at least {goal:g}, {verdict})", flush=True)
