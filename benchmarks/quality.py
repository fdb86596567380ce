"""The validation accuracy and log loss of variants of the preset plants_scratch on real images.

Only validation images choose between variants; no test image is read. By default, every variant
trains for a third of the preset's steps, with one seed. Each is compared with the preset on the
same images and seeds: the difference of the log loss, with one view of each image and with eight,
and its standard error over the images. The minutes are processor time of the training.
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

from benchmarks import ingredients, trials
from benchmarks.ingredients import Images, Training
from benchmarks.measure import PLANTS, ROOT
from seedlings import params, processor
from seedlings.cli import presets
from seedlings.io import split_table, store
from seedlings.io.files import replacing
from seedlings.networks import runtime, views
from seedlings.params import Params
from seedlings.tasks import TASKS
from seedlings.training import calibration, replicas
from seedlings.training.batches import Batches

# More validation images than in the preset, because they choose between variants.
_COMMON = ["data.url=null", f"data.path={PLANTS}", "split.validation_per_class=30"]
_SMALL = [
    *trials.SMALL[:-2],
    "split.validation_per_class=3",
    "segment.pixels=[32,32]",
    "finetune.progressive.sizes=[]",
    "finetune.steps=8",
]
_BATCH = 64  # of the preset; variants with other batches have as many images in all steps


@dataclass(frozen=True, slots=True)
class Variant:
    """Changes of the preset's parameters, and the training."""

    changes: Sequence[str] = ()
    training: Training = ingredients.plain


_VARIANTS: dict[str, Variant] = {
    "the preset": Variant(),
    # Speed
    "float32": Variant(["finetune.precision=float32"]),
    "one replica": Variant(["finetune.replicas=1"]),
    "24, 48 and 48 filters first": Variant(
        [
            "finetune.convnet.stem_filters=[24,48]",
            "finetune.convnet.filters=[48,96,96,192,192]",
        ]
    ),
    "full size in all epochs": Variant(["finetune.progressive.sizes=[]"]),
    # Optimiser
    "AdamW": Variant(
        ["finetune.optimizer.name=adamw", "finetune.optimizer.learning_rate=0.002"],
    ),
    "learning rate 0.02": Variant(["finetune.optimizer.learning_rate=0.02"]),
    "learning rate 0.06": Variant(["finetune.optimizer.learning_rate=0.06"]),
    "batches of 32": Variant(
        [
            "finetune.batch_size=32",
            "finetune.optimizer.learning_rate=0.02",
            "finetune.optimizer.average_weights=0.995",
        ]
    ),
    "twice the weight decay": Variant(["finetune.optimizer.weight_decay=0.1"]),
    "no averaged weights": Variant(["finetune.optimizer.average_weights=0.0"]),
    # Images
    "128 x 128 pixels": Variant(
        ["segment.pixels=[128,128]", "finetune.progressive.sizes=[[72,72],[96,96]]"]
    ),
    "144 x 144 pixels": Variant(
        ["segment.pixels=[144,144]", "finetune.progressive.sizes=[[80,80],[104,104]]"]
    ),
    "zoom up to 30%": Variant(["finetune.augment.zoom=0.3"]),
    "contrast": Variant(["finetune.augment.contrast=[0.75,1.3333]"]),
    "masked, background dimmed": Variant(
        ["segment.method=excess_green", "segment.background=dimmed"]
    ),
    "random flips": Variant(["finetune.augment.alternating_flips=false"]),
    "weak augmentation at the end": Variant(training=ingredients.weak_ending),
    "batch statistics anew": Variant(training=ingredients.estimated_statistics),
    "seven eighths of the images": Variant(training=ingredients.seven_eighths),
    # Network
    "twice the steps": Variant(["finetune.steps=3600"]),
    "96, 128 and 256 filters": Variant(["finetune.convnet.filters=[96,128,128,256,256]"]),
    "three residual blocks a width": Variant(
        ["finetune.convnet.filters=[64,64,96,96,96,192,192,192]"]
    ),
    "random first convolution": Variant(["finetune.convnet.whitened=false"]),
    "random flips and first convolution": Variant(
        ["finetune.augment.alternating_flips=false", "finetune.convnet.whitened=false"]
    ),
    "identity start": Variant(training=ingredients.identity_start),
    "two half networks": Variant(
        [
            "finetune.convnet.stem_filters=[32,32]",
            "finetune.convnet.filters=[32,64,64,128,128]",
        ],
        ingredients.two_halves,
    ),
    "self-distillation": Variant(training=ingredients.self_distilled),
    "fine-tuned from synthetic weights": Variant(
        [
            "model=vgg16_synthetic",
            "extract.cut=block1_pool",
            "finetune.progressive.sizes=[]",
            "finetune.optimizer.name=adamw",
            "finetune.optimizer.learning_rate=0.002",
            "finetune.steps=300",
            "finetune.unfreeze.epochs=40",
            "finetune.unfreeze.learning_rate=0.001",
        ]
    ),
    # Loss
    "label smoothing 0.05": Variant(["finetune.label_smoothing=0.05"]),
    "no label smoothing": Variant(["finetune.label_smoothing=0.0"]),
    "dropout 0.5": Variant(["finetune.head.dropout=0.5"]),
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
        f"{'':<36} {'seeds':>5} {'accuracy':>9} {'log loss':>9} {'difference':>16} {'8 views':>9} "
        f"{'log loss':>9} {'difference':>16} {'CPU min':>8}"
    )
    reference: list[Score] = []
    for name in names if options.names else _VARIANTS:
        variant = _VARIANTS[name]
        settings = [
            settings_of(variant.changes, share=options.share, seed=seed, small=options.small)
            for seed in range(1, options.seeds + 1)
        ]
        scores = [kept(own, variant.training, options.keep) for own in settings]
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


def kept(settings: Params, training: Training, folder: Path | None) -> Score:
    """Return the score in the folder, or compute it in a new process and write it there."""
    if folder is None:
        return trials.in_own_process(score, settings, training)
    text = settings.model_dump_json(exclude={"composed_from"}) + training.__name__
    file = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        found = trials.in_own_process(score, settings, training)
        with replacing(file) as scratch, scratch.open("wb") as stream:
            np.savez(stream, **asdict(found))
    with np.load(file) as arrays:
        return Score(**{name: arrays[name] for name in arrays.files})


def score(settings: Params, training: Training) -> Score:
    """Train one variant; return its scores on the validation images."""
    task, own = TASKS[settings.task], settings.finetune
    processor.use(portable=settings.portable)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        table = trials.prepare(settings, root)
        runtime.prepare(settings.seed, settings.threads)
        replicas.use_threads(settings.threads, own.replicas)
        targets = task.targets(table["label"])
        train, validation = (split_table.rows(table, split) for split in ("train", "validation"))
        with (
            store.unpacked(root / "images", train) as seen,
            store.unpacked(root / "images", validation) as unseen,
        ):
            images = Images(
                (seen, targets[train]), (unseen, targets[validation]), task.units(table["label"])
            )
            start = time.process_time()
            models = training(settings, images, task)
            minutes = (time.process_time() - start) / 60
            rows = Batches(*images.validation, size=own.batch_size)
            outputs = np.mean([model.predict(rows.data(), verbose=0) for model in models], axis=0)
            views_of_each = []
            for model in models:
                averaged = views.averaged(model, 8)
                calibration.calibrate(averaged, rows, task)
                views_of_each.append(averaged.predict(rows.data(), verbose=0))
            right, loss = _outcomes(outputs, rows.targets)
            return Score(
                right, loss, *_outcomes(np.mean(views_of_each, axis=0), rows.targets), minutes
            )


def line(name: str, scores: Sequence[Score], reference: Sequence[Score]) -> str:
    """Return the line of a variant: means over the seeds, and the differences to the reference."""
    text = f"{name:<36} {len(scores):>5}"
    for right, loss in (("right", "loss"), ("right_8", "loss_8")):
        accuracy, mean = (np.mean([getattr(own, key) for own in scores]) for key in (right, loss))
        difference = "" if scores is reference else _difference(scores, reference, loss)
        text += f" {accuracy:>9.1%} {mean:>9.3f} {difference:>16}"
    return f"{text} {np.mean([own.minutes for own in scores]):>8.1f}"


def _difference(scores: Sequence[Score], reference: Sequence[Score], loss: str) -> str:
    pairs = zip(scores, reference, strict=True)
    differences = np.mean(
        [getattr(own, loss) - getattr(other, loss) for own, other in pairs], axis=0
    )
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return f"{differences.mean():+.3f} ± {error:.3f}"


def _outcomes(
    outputs: NDArray[np.float32], truth: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    own = outputs[np.arange(len(truth)), truth].astype(np.float64)
    return outputs.argmax(axis=1) == truth, -np.log(np.maximum(own, 1e-12))


if __name__ == "__main__":
    main()
