"""The validation accuracy of variants of the preset plants_scratch on real images.

Only validation images choose between variants; no test image is read. Every variant trains for a
seventh of the preset's steps, so that all of them take half an hour.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import networks, trials
from benchmarks.measure import PLANTS, ROOT
from seedlings import params
from seedlings.cli import presets
from seedlings.config.records import Record
from seedlings.networks import backbones, runtime
from seedlings.params import Params
from seedlings.tasks import TASKS
from seedlings.training import batches, fit
from seedlings.training.augmentations import Augmentation

# More validation images than in the preset, because they choose between variants.
_COMMON = [
    "data.url=null",
    f"data.path={PLANTS}",
    "split.validation_per_class=30",
    "finetune.steps=500",
    "finetune.optimizer.average_weights=0.965",  # over the same share of the steps
]

_VARIANTS: dict[str, list[str]] = {
    "the preset": [],
    "masked, black background": ["segment.method=excess_green"],
    "masked, background dimmed": ["segment.method=excess_green", "segment.background=dimmed"],
    "masked, mean background": ["segment.method=excess_green", "segment.background=mean"],
    "plain blocks, not residual": [
        "finetune.convnet.residual=false",
        "finetune.convnet.filters=[48,96,192]",
        "finetune.convnet.convolutions=2",
    ],
    "96 x 96 pixels": ["segment.size=[96,96]"],
    "128 x 128 pixels": ["segment.size=[128,128]"],
    "only flips": ["augment=none", "finetune.augment.flip_horizontal=0.5"],
    "no averaged weights": ["finetune.optimizer.average_weights=0.0"],
    "no label smoothing": ["finetune.label_smoothing=0.0"],
    "twice the steps": ["finetune.steps=1000"],
}


def main() -> None:
    if not PLANTS.is_file():
        print(f"not measured: {PLANTS.name} is absent")
        return
    os.chdir(ROOT)
    print(f"{'':<28} {'validation':>10} {'log loss':>9} {'minutes':>8}")
    for name, changes in _VARIANTS.items():
        report(name, settings_of(changes))


def settings_of(changes: Sequence[str]) -> Params:
    """Return the preset with some changes."""
    return params.check(presets.compose(["plants_scratch", *_COMMON, *changes]))


def report(name: str, settings: Params) -> None:
    """Train one variant and print its line."""
    task, own = TASKS[settings.task], settings.finetune
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        table = trials.prepare(settings, root)
        start = time.perf_counter()
        runtime.prepare(settings.seed, settings.threads)
        backbone = backbones.build(settings.extract, *settings.segment.size)
        model = networks.classifier(backbone, task.units(table["label"]), task, own)
        augmentation = Augmentation(own.augment, backbone.window, settings.seed)
        with batches.of_training(
            root / "images",
            table,
            task,
            size=own.batch_size,
            seed=settings.seed,
            augmentation=augmentation,
        ) as (train, validation):
            record = Record("finetune")
            fit.train_head(model, train, validation, record=record, task=task, params=own)
            minutes = (time.perf_counter() - start) / 60
            outputs = model.predict(validation, verbose=0)
            truth = validation.targets
        correct = (outputs.argmax(axis=1) == truth).mean()
        loss = -np.log(outputs[np.arange(len(truth)), truth]).mean()
        print(f"{name:<28} {correct:>10.1%} {loss:>9.3f} {minutes:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
