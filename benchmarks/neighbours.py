"""Whether the features of an image depend on its place and its neighbours in a padded batch.

For the backbone of every preset, with its sizes: images of noise, in one order, in another, and
with fewer and fewer neighbours.
"""

import sys
from typing import Any

import numpy as np

from benchmarks.measure import ROOT
from seedlings import params
from seedlings.cli import presets
from seedlings.networks import backbones, features, runtime


def presets_by_extract() -> dict[str, tuple[str, Any]]:
    """Return the names of the presets with equal backbones, and the parameters of one of them."""
    found: dict[str, tuple[str, Any]] = {}
    for name in presets.names():
        tree = presets.compose([name, "data.path=data", "data.url=null"])
        if tree["extract"]["weights"] != "synthetic":
            tree["extract"] |= {"weights": "random", "checksum": None}
        if tree["extract"]["backbone"] == "none":
            continue
        key = str([tree["extract"], tree["segment"]["pixels"]])
        names = f"{found[key][0]}, {name}" if key in found else name
        found[key] = names, params.check(tree)
    return found


def differing(task: features.Extraction, pictures: np.ndarray) -> int:
    """Return how many of the features differ from those of the same images in another batch."""
    rng = np.random.default_rng(1)
    whole = task.run(pictures)[0]
    count = 0
    for size in (len(pictures), len(pictures) // 2, 1):
        chosen = rng.permutation(len(pictures))[:size]
        rows = task.run(pictures[chosen])[0]
        count += sum(
            row.tobytes() != whole[place].tobytes() for row, place in zip(rows, chosen, strict=True)
        )
    return count


def main() -> None:
    settings = params.load()
    runtime.prepare(settings.seed, settings.threads)
    failed = False
    for names, found in presets_by_extract().values():
        extract, (height, width) = found.extract, found.segment.pixels
        network = backbones.build(extract, height, width).feature_extractor
        size = extract.batch_size
        task = features.Extraction(
            network, ROOT, batch_size=size, seed=found.seed, threads=found.threads
        )
        rng = np.random.default_rng(0)
        pictures = rng.integers(0, 256, (size, height, width, 3), dtype=np.uint8)
        count = differing(task, pictures)
        failed |= count > 0
        print(
            f"{extract.backbone} to {extract.cut}, {height} x {width}, batches of {size} "
            f"({names}): {count} rows differ",
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
