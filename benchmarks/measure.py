"""What the benchmarks share: images, times of actions that take turns, and goals."""

import gc
import time
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seedlings import images
from seedlings.data import sample

ROOT = Path(__file__).parents[1]
PLANTS = ROOT.parent / "shared" / "plants" / "plants-1440.zip"
PETS = ROOT.parent / "shared" / "pets" / "pets-300.zip"  # cats and dogs

Times = dict[str, NDArray[np.float64]]  # seconds of each action in each round


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


def seconds(action: Callable[[], object]) -> float:
    """Return the seconds of an action."""
    gc.collect()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def in_turns(actions: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Return the seconds of actions that take turns, so that other load disturbs all of them."""
    timed = {name: partial(seconds, action) for name, action in actions.items()}
    return self_timed(timed, rounds)


def self_timed(actions: Mapping[str, Callable[[], float]], rounds: int) -> Times:
    """Return what `in_turns` does, for actions that return their own seconds."""
    found = [[action() for action in actions.values()] for _ in range(rounds)]
    return dict(zip(actions, np.transpose(found), strict=True))


def speedup(times: Times, name: str, other: str) -> float:
    """Return how many times as fast an action is as another: the median over the rounds."""
    return float(np.median(times[other] / times[name]))


def print_rates(times: Times, count: int) -> None:
    """Print the images/s of each action: the median over the rounds."""
    for name, values in times.items():
        print(f"{name:<34} {count / np.median(values):>9.1f} images/s", flush=True)


def compare(times: Times, name: str, other: str, goal: float) -> None:
    """Print the speedup of an action over another, and the smallest one that is enough."""
    at_least(f"{name} / {other}", speedup(times, name, other), goal)


def at_least(what: str, value: float, goal: float, unit: str = "times") -> None:
    """Print a value and its goal, the smallest value that is enough."""
    verdict = "reached" if value >= goal else "NOT reached"
    print(f"{what}: {value:.2f} {unit} (goal: at least {goal:g}, {verdict})", flush=True)


def at_most(what: str, value: float, goal: float, unit: str) -> None:
    """Print a value and its goal, the largest value that is allowed."""
    verdict = "reached" if value <= goal else "NOT reached"
    print(f"{what}: {value:.2f} {unit} (goal: at most {goal:g}, {verdict})", flush=True)
