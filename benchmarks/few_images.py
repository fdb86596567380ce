"""Learning curves: test accuracy with few training images, of transfer and from scratch.

The head on frozen features of a quarter of VGG16, with drawn and with random weights, beside the
same network (with batch normalisation) from scratch on augmented images. The images are 96 x 96
cut-outs on black of 1,440 real images; all curves have the same 144 validation and 288 test images.
Training from scratch takes 600 batches of 32 with AdamW, and else the settings of the preset
plants_scratch. The mean of the seeds, which draw the training images and the random numbers, is
printed with the smallest and the largest.

`--seeds N` takes N seeds (2). `--picture FILE` also draws the curves as PNG. `--small` does the
same with a few small drawn images.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks import trials
from benchmarks.measure import PLANTS, ROOT
from benchmarks.trials import Result
from seedlings import params
from seedlings.cli import presets
from seedlings.params import Params

Curves = dict[str, list[list[float]]]  # accuracies of all seeds, for each count

_COUNTS = (10, 20, 40, 84)  # training images of each class
_REAL = [*trials.REAL, "segment.pixels=[96,96]"]
_SCRATCH = [
    *("model=vgg16", "extract.width=0.25", "segment.method=excess_green"),
    # The averages are over the same share of the steps as in the preset.
    *("finetune.steps=600", "finetune.optimizer.average_weights=0.965"),
    *("finetune.batch_size=32", "finetune.progressive.sizes=[]"),
    *("finetune.replicas=1", "finetune.precision=float32"),
    "finetune.augment.alternating_flips=false",
    *("finetune.optimizer.name=adamw", "finetune.optimizer.learning_rate=0.002"),
]
_QUICK = ["finetune.batch_size=8"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.few_images")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    picture = options.picture.absolute() if options.picture else None
    os.chdir(ROOT)
    if options.small:
        counts, seeds = (3,), (1,)
        methods = _methods([*trials.SMALL, *_QUICK], ["finetune.epochs=2"], ["finetune.steps=2"])
    elif PLANTS.is_file():
        counts, seeds = _COUNTS, tuple(range(1, options.seeds + 1))
        methods = _methods(_REAL, [], [])
    else:
        print(f"not measured: {PLANTS.name} is absent")
        return
    found = measure(methods, counts, seeds)
    if picture:
        draw(found, counts, picture)


Method = tuple[Callable[[Params, Path, pd.DataFrame], Result], Params]


def _methods(data: list[str], of_head: list[str], of_scratch: list[str]) -> dict[str, Method]:
    def composed(*changes: str) -> Params:
        return params.check(presets.compose([*changes, *data]))

    random = composed("sample", "extract.weights=random", *of_head)
    scratch = params.check(presets.compose(["plants_scratch", *_SCRATCH, *data, *of_scratch]))
    return {
        "drawn": (trials.of_backbone, composed("sample", *of_head)),
        "random": (trials.of_backbone, random),
        "from scratch": (trials.from_scratch, scratch),
    }


def measure(methods: dict[str, Method], counts: tuple[int, ...], seeds: tuple[int, ...]) -> Curves:
    """Print and return the test accuracy of each method, count and seed."""
    print(f"{'images of a class':<18}" + "".join(f"{name:>26}" for name in methods))
    curves: Curves = {name: [] for name in methods}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        table = trials.prepare(next(iter(methods.values()))[1], root)
        for count in counts:
            cells = []
            for name, (action, settings) in methods.items():
                found = []
                for seed in seeds:
                    seeded = settings.model_copy(update={"seed": seed})
                    kept = trials.fewer(table, count, seed)
                    found.append(trials.in_own_process(action, seeded, root, kept).accuracy)
                curves[name].append(found)
                cells.append(f"{np.mean(found):.1%} ({min(found):.1%} to {max(found):.1%})")
            print(f"{count:<18}" + "".join(f"{cell:>26}" for cell in cells), flush=True)
    return curves


def draw(curves: Curves, counts: tuple[int, ...], path: Path) -> None:
    """Draw the mean of the seeds, and the range from the smallest to the largest, as PNG."""
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axis = figure.subplots()
    for name, found in curves.items():
        axis.plot(counts, np.mean(found, axis=1), marker="o", label=name)
        axis.fill_between(counts, np.min(found, axis=1), np.max(found, axis=1), alpha=0.2)
    axis.set_xscale("log", base=2)
    axis.set_xticks(counts, [str(count) for count in counts], minor=False)
    axis.set(xlabel="training images of each class", ylabel="test accuracy", ylim=(0.0, 1.0))
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, format="png", dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    main()
