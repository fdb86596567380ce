"""Test accuracy of a head on the features of three backbones, with intervals, and their cost.

The backbones are VGG16 with random weights, and with a quarter of its filters and random or drawn
weights; with all layers frozen, and with block 5 trained after the head. The images are the sample,
and 1,440 real ones, with a black background and whole. All settings are those of the preset sample;
validation images stop the training, and no test image chooses anything. `--small` does the same
with a few small drawn images.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks import trials
from benchmarks.measure import PLANTS, ROOT
from seedlings import params
from seedlings.cli import presets

_SOURCES: dict[str, list[str]] = {
    "the sample": [],
    "real, black background": trials.REAL,
    "real, whole": [*trials.REAL, "segment.method=none"],
}
_NETWORKS: dict[str, list[str]] = {
    "VGG16, random": ["model=vgg16"],
    "quarter, random": ["extract.weights=random"],
    "quarter, drawn": [],
}
_TRAINED: dict[str, list[str]] = {
    "head": [],
    "block 5": ["extract.cut=block4_pool", "finetune.unfreeze.epochs=10"],
}
_QUICK = ["finetune.epochs=2", "extract.batch_size=8"]


def main() -> None:
    os.chdir(ROOT)
    if "--small" in sys.argv:
        compare({"the sample": trials.SMALL}, {"quarter, drawn": []}, _QUICK)
        return
    wanted = dict(_SOURCES) if PLANTS.is_file() else {"the sample": []}
    compare(wanted, _NETWORKS, [])
    if not PLANTS.is_file():
        print(f"not measured on real images: {PLANTS.name} is absent")


def compare(
    data: Mapping[str, list[str]], networks: Mapping[str, list[str]], changes: list[str]
) -> None:
    """Print a line for each source of images, network, and what is trained."""
    print(f"{'images':<23} {'network':<16} {'trained':<8} {trials.HEADER}")
    for source, of_data in data.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            table = trials.prepare(_settings(of_data), root)
            for network, of_network in networks.items():
                for trained, of_cut in _TRAINED.items():
                    settings = _settings([*of_network, *of_data, *of_cut, *changes])
                    result = trials.in_own_process(trials.of_backbone, settings, root, table)
                    print(f"{source:<23} {network:<16} {trained:<8} {result}", flush=True)


def _settings(changes: list[str]) -> params.Params:
    return params.check(presets.compose(["sample", *changes]))


if __name__ == "__main__":
    main()
