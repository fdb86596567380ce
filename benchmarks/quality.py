"""The validation accuracy and log loss of variants of the preset plants_scratch on real images.

Only validation images choose between variants; no test image is read. By default, every variant
trains for a third of the preset's steps, with one seed. Each is compared with the preset on the
same images and seeds: the difference of the log loss, with its standard error over the images.
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import networks, trials
from benchmarks.measure import PLANTS, ROOT
from seedlings import params, processor
from seedlings.cli import presets
from seedlings.config.records import Record
from seedlings.io.files import replacing
from seedlings.networks import backbones, runtime, views
from seedlings.params import Params
from seedlings.tasks import TASKS
from seedlings.training import batches, calibration, fit
from seedlings.training.augmentations import Augmentation

# More validation images than in the preset, because they choose between variants.
_COMMON = ["data.url=null", f"data.path={PLANTS}", "split.validation_per_class=30"]
_SMALL = [
    *trials.SMALL[:-2],
    "split.validation_per_class=3",
    "segment.size=[32,32]",
    "finetune.progressive.sizes=[]",
    "finetune.steps=8",
]
_ADAMW = ["finetune.optimizer.name=adamw", "finetune.optimizer.learning_rate=0.002"]
_SMALLER_BATCHES = ["finetune.batch_size=32", "finetune.optimizer.average_weights=0.995"]
_BATCH = 64  # of the preset; others have as many images in all steps
_WHOLE = ["finetune.progressive.sizes=[]"]

_VARIANTS: dict[str, list[str]] = {
    "the preset": [],
    "AdamW, batches of 32, full size": [*_ADAMW, *_SMALLER_BATCHES, *_WHOLE],  # as it was
    "AdamW": _ADAMW,
    "batches of 32, twice the steps": _SMALLER_BATCHES,
    "full size in all epochs": _WHOLE,
    "learning rate 0.08": ["finetune.optimizer.learning_rate=0.08"],
    "learning rate 0.02": ["finetune.optimizer.learning_rate=0.02"],
    "learning rate 0.02, batches of 32": [
        "finetune.optimizer.learning_rate=0.02",
        *_SMALLER_BATCHES,
    ],
    "label smoothing 0.05": ["finetune.label_smoothing=0.05"],
    "no label smoothing": ["finetune.label_smoothing=0.0"],
    "twice the weight decay": ["finetune.optimizer.weight_decay=0.1"],
    "128 x 128 pixels": ["segment.size=[128,128]"],
    "no averaged weights": ["finetune.optimizer.average_weights=0.0"],
    "only flips": ["augment=none", "finetune.augment.flip_horizontal=0.5"],
    "masked, background dimmed": ["segment.method=excess_green", "segment.background=dimmed"],
    "plain blocks, not residual": [
        "finetune.convnet.residual=false",
        "finetune.convnet.filters=[48,96,192]",
        "finetune.convnet.convolutions=2",
    ],
}


@dataclass(frozen=True, slots=True)
class Score:
    """The outcome on N validation images: whether right, and the log loss, with 1 and 8 views."""

    right: NDArray[np.bool_]
    loss: NDArray[np.float64]
    right_8: NDArray[np.bool_]
    loss_8: NDArray[np.float64]
    minutes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="VARIANT", help=", ".join(_VARIANTS))
    parser.add_argument("--share", type=float, default=1 / 3, help="of the preset's steps")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--keep",
        type=Path,
        help="a folder for the scores of one commit, which are not computed again",
    )
    parser.add_argument("--small", action="store_true", help="drawn images, a few steps")
    options = parser.parse_args()
    if not options.small and not PLANTS.is_file():
        print(f"not measured: {PLANTS.name} is absent")
        return
    if unknown := set(options.names) - set(_VARIANTS):
        parser.error(f"expected variants ({', '.join(_VARIANTS)}), found {', '.join(unknown)}")
    os.chdir(ROOT)
    names = ["the preset", *(name for name in options.names if name != "the preset")]
    print(
        f"{'':<40} {'seeds':>5} {'accuracy':>9} {'log loss':>9} {'8 views':>9} {'log loss':>9} "
        f"{'difference':>16} {'minutes':>8}"
    )
    reference: list[Score] = []
    for name in names if options.names else _VARIANTS:
        settings = [
            settings_of(_VARIANTS[name], share=options.share, seed=seed, small=options.small)
            for seed in range(1, options.seeds + 1)
        ]
        scores = [kept(own, options.keep) for own in settings]
        reference = reference or scores
        print(line(name, scores, reference), flush=True)


def settings_of(
    changes: Sequence[str], *, share: float, seed: int = 1, small: bool = False
) -> Params:
    """Return the preset with some changes, for a share of its steps and samples of its average."""
    given = ["plants_scratch", *(_SMALL if small else _COMMON), *changes, f"seed={seed}"]
    own = params.check(presets.compose(given)).finetune
    steps = max(1, round((own.steps or 1) * share * _BATCH / own.batch_size))
    average = own.optimizer.average_weights
    shorter = max(0.0, 1.0 - (1.0 - average) / share) if average else 0.0
    return params.check(
        presets.compose(
            [
                *given,
                f"finetune.steps={steps}",
                f"finetune.optimizer.average_weights={shorter}",
            ]
        )
    )


def kept(settings: Params, folder: Path | None) -> Score:
    """Return the score in the folder, or compute it in a new process and write it there."""
    if folder is None:
        return trials.in_own_process(score, settings)
    text = settings.model_dump_json(exclude={"composed_from"})
    file = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        found = trials.in_own_process(score, settings)
        with replacing(file) as scratch, scratch.open("wb") as stream:
            np.savez(stream, **asdict(found))
    with np.load(file) as arrays:
        return Score(**{name: arrays[name] for name in arrays.files})


def score(settings: Params) -> Score:
    """Train one variant; return its scores on the validation images."""
    task, own = TASKS[settings.task], settings.finetune
    processor.use(portable=settings.portable)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        table = trials.prepare(settings, root)
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
            start = time.perf_counter()
            record = Record("finetune")
            fit.train_head(model, train, validation, record=record, task=task, params=own)
            minutes = (time.perf_counter() - start) / 60
            right, loss = _outcomes(model.predict(validation, verbose=0), validation.targets)
            averaged = views.averaged(model, 8)
            calibration.calibrate(averaged, validation, task)
            outputs = averaged.predict(validation, verbose=0)
            return Score(right, loss, *_outcomes(outputs, validation.targets), minutes)


def line(name: str, scores: Sequence[Score], reference: Sequence[Score]) -> str:
    """Return the line of a variant: means over the seeds, and the difference to the reference."""
    differences = np.mean(
        [own.loss - other.loss for own, other in zip(scores, reference, strict=True)], axis=0
    )
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    difference = f"{differences.mean():+.3f} ± {error:.3f}" if scores is not reference else ""
    means = [np.mean([getattr(s, key) for s in scores]) for key in Score.__slots__]
    return (
        f"{name:<40} {len(scores):>5} {means[0]:>9.1%} {means[1]:>9.3f} {means[2]:>9.1%} "
        f"{means[3]:>9.3f} {difference:>16} {means[4]:>8.1f}"
    )


def _outcomes(
    outputs: NDArray[np.float32], truth: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    own = outputs[np.arange(len(truth)), truth].astype(np.float64)
    return outputs.argmax(axis=1) == truth, -np.log(np.maximum(own, 1e-12))


if __name__ == "__main__":
    main()
