"""Which images change their split when images are added to the sample, or removed from it.

From 1,200 small drawn images, a tenth of them near duplicates, 20 random data sets of 960 grow by 1
to 20%, and 20 shrink. For each, it prints the images that changed their split with the cause, and
the largest deviation of a class's test share. Exits with 1 if a move has no cause, a count of
validation images is not exact, or a share is beyond its bound.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import ROOT
from seedlings import images, params
from seedlings.config.pipeline import read_yaml
from seedlings.data import annotations, duplicates, image_folder, sample, splits
from seedlings.params import Params
from seedlings.tasks import TASKS
from seedlings.tracking import split_changes
from seedlings.tracking.split_changes import SplitChange

_PER_CLASS, _SIZE = 100, 64
_START, _CASES = 960, 20
_BOUND = 4  # binomial standard deviations


def main() -> None:
    settings = params.check(read_yaml(ROOT / "params.yaml"))
    pool = drawn(settings)
    failures = 0
    causes: Counter[tuple[str, bool]] = Counter()
    for grows in (True, False):
        print(f"{_CASES} random data sets of {_START} images that {'grow' if grows else 'shrink'}")
        for case in range(_CASES):
            rng = np.random.default_rng(case)
            order = rng.permutation(len(pool))
            count = round(_START * (case + 1) / 100)
            here = order[:_START]
            there = order[: _START + count] if grows else here[count:]
            good, found = report(pool, here, there, settings)
            failures += not good
            causes.update((move.cause, "test" in (move.before, move.after)) for move in found)
    print("all moves:")
    for (cause, of_test), number in sorted(causes.items()):
        where = "into or out of the test" if of_test else "between training and validation"
        print(f"{number:5d} {where}, as {cause}")
    print(f"{failures} of {2 * _CASES} cases failed")
    sys.exit(1 if failures else 0)


def drawn(settings: Params) -> pd.DataFrame:
    """Return the fingerprints of the sample's images, drawn smaller."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number, place in np.ndindex(len(sample.SPECIES), _PER_CLASS):
            picture, _ = sample.draw_numbered(number, place, seed=settings.seed, size=_SIZE)
            path = root / sample.SPECIES[number].name / f"{place:05d}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(images.encode_png(picture))
        table, _ = image_folder.scan(root, settings.split.rule)
        return duplicates.fingerprint(root, table)[0]


def divided(pool: pd.DataFrame, rows: np.ndarray, settings: Params) -> pd.DataFrame:
    """Return some images of the pool with their groups and splits, as the stage split does."""
    table = pool.iloc[np.sort(rows)].reset_index(drop=True)
    table["unit"] = annotations.units(table, None)
    table["group"] = duplicates.group(table, settings.split.duplicate_distance)
    task = TASKS[settings.task]
    table["split"] = splits.choose(table, task, settings.split, settings.seed)
    return table


def report(
    pool: pd.DataFrame, here: np.ndarray, there: np.ndarray, settings: Params
) -> tuple[bool, list[SplitChange]]:
    """Print what one growth or removal moves; return whether all is as expected, and the moves."""
    before, after = (divided(pool, rows, settings) for rows in (here, there))
    found = split_changes.find(before, after)
    by_class = after.groupby("label")["split"]
    sizes, tests = by_class.size(), by_class.agg(lambda split: (split == "test").sum())
    share = settings.split.test_share
    deviation = ((tests - share * sizes).abs() / np.sqrt(share * (1 - share) * sizes)).max()
    validation = by_class.agg(lambda split: (split == "validation").sum())
    exact = bool((validation == settings.split.validation_per_class).all())
    change = len(there) - len(here)
    print(
        f"{change:+5d} images ({100 * change / len(here):+.0f}%): {len(found)} of "
        f"{min(len(here), len(there))} changed their split; test shares within "
        f"{deviation:.1f} standard deviations (bound: {_BOUND}); validation "
        f"{'exact' if exact else 'NOT exact'}"
    )
    for move in found:
        print(f"      {move}")
    unexplained = any(move.cause == split_changes.OTHER for move in found)
    return exact and deviation <= _BOUND and not unexplained, found


if __name__ == "__main__":
    main()
