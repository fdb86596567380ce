"""Images/s of reading and hashing (split) and of cutting out (segment), beside a plain loop.

The loop reads one image after the other with OpenCV and masks it with plain NumPy.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import pandas as pd

from benchmarks import riemersma
from benchmarks.measure import compare, in_turns, print_rates, seedlings
from seedlings import images, params, presets
from seedlings.config.reuse import Reuse
from seedlings.data import duplicates
from seedlings.io import parts
from seedlings.io.files import remove
from seedlings.io.shards import Here
from seedlings.segmentation import cutouts, masks

_SIDE, _RESIZED = 300, 150


def main(*, small: bool) -> None:
    count, rounds = (24, 1) if small else (960, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = _write(folder / "raw", count)
        actions: dict[str, Callable[[], object]] = {
            "plain loop": partial(_plain_loop, folder / "raw", table),
            "split: hashes": partial(duplicates.fingerprint, folder / "raw", table[["path"]]),
        }
        for method in masks.METHODS:
            actions[f"segment: {method}"] = partial(_segment, folder, table, method)
        times = in_turns(actions, rounds)
    print_rates(times, count)
    compare(times, "segment: color_distance", "plain loop", 1)
    compare(times, "split: hashes", "plain loop", 1)


def _write(folder: Path, count: int) -> pd.DataFrame:
    folder.mkdir()
    rows = []
    for number, image in enumerate(seedlings(count, _SIDE)):
        data = images.encode_png(image)
        (folder / f"{number}.png").write_bytes(data)
        rows.append((f"{number}.png", parts.digest(data)))
    return pd.DataFrame(rows, columns=["path", "digest"])


def _plain_loop(folder: Path, table: pd.DataFrame) -> None:
    for name in table["path"]:
        image = cv2.cvtColor(cv2.imread(str(folder / name)), cv2.COLOR_BGR2RGB)
        riemersma.cut_out(cv2.resize(image, (_RESIZED, _RESIZED), interpolation=cv2.INTER_AREA))


def _segment(folder: Path, table: pd.DataFrame, method: str) -> None:
    changes = [f"segment.method={method}", f"segment.pixels=[{_RESIZED},{_RESIZED}]"]
    settings = params.check(presets.compose(["sample", *changes])).segment
    remove(folder / "images")
    cutouts.make(folder / "raw", table, settings, folder / "images", engine=Here(), last=Reuse(""))
