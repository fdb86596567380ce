"""Search against luck: the best of some trials by TPE and by random search, on 1,440 real images.

The trials train the head on stored features of drawn weights in one process, with the space of
spaces/head.yaml, and are compared on the 144 validation images. Printed for each seed: the best
validation accuracy, the trial that reached it first, and the test accuracy of that trial alone,
beside those of the unchanged parameters.

`--trials N` and `--seeds N` change the numbers (30 and 3). `--small` does the same with a few small
drawn images.
"""

import argparse
import logging
import os
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import trials
from benchmarks.measure import PLANTS, ROOT
from benchmarks.trials import Result
from seedlings import params
from seedlings.cli import presets
from seedlings.networks.backbones import Backbone
from seedlings.search import space, study
from seedlings.search.space import Space
from seedlings.search.trials import Trial

_SAMPLERS = ("tpe", "random")
_QUICK = ["finetune.epochs=2", "extract.batch_size=8"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samplers")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    os.chdir(ROOT)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # each trial compiles its network
    if not options.small and not PLANTS.is_file():
        print(f"not measured: {PLANTS.name} is absent")
        return
    changes = [*trials.SMALL, *_QUICK] if options.small else trials.REAL
    tree = presets.compose(["sample", *changes])
    wanted = space.read(Path("spaces/head.yaml"), tree)
    with tempfile.TemporaryDirectory() as folder:
        compare(tree, wanted, Path(folder), options.trials, range(1, options.seeds + 1))


def compare(tree: dict, wanted: Space, root: Path, count: int, seeds: Sequence[int]) -> None:
    """Print a line for the unchanged parameters and for each search, and the means."""
    settings = params.check(tree)
    table = trials.prepare(settings, root)
    backbone, _ = trials.extract(settings, root)
    validated, tested = ((table["split"] == split).sum() for split in ("validation", "test"))
    print(f"{validated} validation images, {tested} test images, {count} trials")
    print(
        f"{'':<10} {'seed':>4} {'validation':>10} {'at trial':>8} {'test':>7} {'95% interval':>16}"
    )
    start = _trained(tree, root, table, backbone)
    print(_line("unchanged", "", start, ""), flush=True)
    for sampler in _SAMPLERS:
        found = []
        for seed in seeds:
            own = wanted.model_copy(update={"sampler": sampler, "seed": seed})
            number, result = _best(own, tree, root, table, backbone, count=count)
            print(_line(sampler, seed, result, number), flush=True)
            found.append(result)
        means = [np.mean([getattr(r, name) for r in found]) for name in ("validation", "accuracy")]
        print(f"{sampler:<10} mean {means[0]:>10.1%} {'':>8} {means[1]:>7.1%}", flush=True)


def _best(
    wanted: Space, tree: dict, root: Path, table: pd.DataFrame, backbone: Backbone, *, count: int
) -> tuple[int, Result]:
    """Return the number and the result of the first trial with the best validation accuracy."""
    tried: list[Trial] = []
    results: list[Result] = []
    for number in range(1, count + 1):
        values = study.suggest(wanted, tried, number)
        if values is None:
            break
        results.append(_trained(space.changed(tree, values), root, table, backbone))
        tried.append(Trial(number, values, "finished", results[-1].validation))
    best = int(np.argmax([result.validation for result in results]))
    return best + 1, results[best]


def _trained(tree: dict, root: Path, table: pd.DataFrame, backbone: Backbone) -> Result:
    with open(os.devnull, "w") as nothing, redirect_stderr(nothing):  # noqa: PTH123 - no bars
        return trials.of_features(params.check(tree), root, table, backbone)


def _line(name: str, seed: object, result: Result, number: object) -> str:
    interval = f"{result.low:.1%} to {result.high:.1%}"
    return (
        f"{name:<10} {seed:>4} {result.validation:>10.1%} {number:>8} "
        f"{result.accuracy:>7.1%} {interval:>16}"
    )


if __name__ == "__main__":
    main()
