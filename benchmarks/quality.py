"""Validation accuracy and log loss of variants of two presets, on real images.

The presets are plants_scratch and plants_finetuned. Each variant is trained by the pipeline for a
third of the preset's steps, with one seed. Only validation images are read. A variant is compared
with its preset on the same images: the difference of the log loss, and its standard error over the
images.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import PLANTS, seconds
from benchmarks.project import Project
from seedlings import params, presets

_SCRATCH: dict[str, tuple[str, ...]] = {
    "the preset": (),
    "float32": ("finetune.precision=float32",),
    "one replica": ("finetune.replicas=1",),
    "AdamW": ("finetune.optimizer.name=adamw", "finetune.optimizer.learning_rate=0.002"),
    "no averaged weights": ("finetune.optimizer.average_weights=0.0",),
    "full size in all epochs": ("finetune.progressive.sizes=[]",),
    "random flips": ("finetune.augment.alternating_flips=false",),
    "random first convolution": ("finetune.convnet.whitened=false",),
    "no label smoothing": ("finetune.label_smoothing=0.0",),
    "no test-time augmentation": ("package.tta=1",),
}
_FROZEN = ("model=efficientnet_lite0", "augment=none", "train=head", "package.tta=1")
_FINETUNED: dict[str, tuple[str, ...]] = {
    "the preset": (),
    "frozen, several layers": _FROZEN,
    "frozen, cut-outs": (*_FROZEN, "segment.method=excess_green"),
    "cut-outs": ("segment.method=excess_green",),
    "224 x 224 pixels": ("segment.pixels=[224,224]",),
    "several layers": ("extract.layers=null",),
    "four frozen blocks": ("extract.cut=block3_project_bn",),
    "a third of the rate": ("finetune.unfreeze.learning_rate=0.0003",),
    "no augmentation": ("augment=none",),
    "no label smoothing": ("finetune.label_smoothing=0.0",),
    "no test-time augmentation": ("package.tta=1",),
}
_PRESETS = {"plants_scratch": _SCRATCH, "plants_finetuned": _FINETUNED}
# More validation images than in the preset, because they choose between variants.
_REAL = ("data.url=null", f"data.path={PLANTS}", "split.validation_per_class=30")
_SMALL = (
    *("data=sample", "data.sample.images_per_class=15", "data.sample.side=48"),
    *("split.validation_per_class=3", "segment.pixels=[32,32]", "finetune.progressive.sizes=[]"),
    "finetune.epochs=1",
)
_SHARE = 1 / 3  # of the steps
# Of the packaged model: the log loss of each validation image, and whether the class is correct.
_SCORE = """
import json
import numpy as np
from seedlings import params
from seedlings.config import paths
from seedlings.evaluation import model_outputs
from seedlings.io import split_table
from seedlings.networks import models, runtime
from seedlings.tasks import TASKS
settings = params.load()
runtime.prepare(settings.seed, settings.threads)
task, table = TASKS[settings.task], split_table.read(paths.SPLIT)
model = models.load(paths.PACKAGED)
outputs = model_outputs.predict(model, paths.IMAGES, table, task, split="validation")
truth = task.targets(table["label"])[split_table.rows(table, "validation")]
chosen = outputs[np.arange(len(truth)), truth]
loss = -np.log(np.maximum(chosen, 1e-12)).astype(float)
print(json.dumps([loss.tolist(), (outputs.argmax(axis=1) == truth).tolist()]))
"""


def main(*, small: bool) -> None:
    if not small and not PLANTS.is_file():
        print(f"not measured: {PLANTS.name} is absent")
        return
    for preset, variants in _PRESETS.items():
        names = list(variants)[: 2 if small else None]
        _measure(preset, {name: variants[name] for name in names}, small=small)


def _measure(preset: str, variants: dict[str, tuple[str, ...]], *, small: bool) -> None:
    """Print a line for each variant of a preset; the first variant is the reference."""
    print(f"{preset:<26} {'accuracy':>9} {'log loss':>9} {'difference':>16} {'minutes':>8}")
    reference: NDArray[np.float64] | None = None
    steps = 8 if small else None
    with tempfile.TemporaryDirectory() as folder:
        common = (preset, *(_SMALL if small else _REAL))
        project = Project(Path(folder), shortened(common, steps))
        for name, changes in variants.items():
            project.set(shortened((*common, *changes), steps))
            project.run("dvc", "repro", "extract")
            minutes = seconds(lambda: project.run("dvc", "repro", "package")) / 60
            scores = json.loads(project.run("python", "-c", _SCORE).splitlines()[-1])
            loss, correct = map(np.array, scores)
            difference = "" if reference is None else compared(loss, reference)
            reference = loss if reference is None else reference
            print(
                f"{name:<26} {correct.mean():>9.1%} {loss.mean():>9.3f} {difference:>16} "
                f"{minutes:>8.1f}",
                flush=True,
            )


def shortened(given: Sequence[str], steps: int | None) -> tuple[str, ...]:
    """Return the arguments of a preset for some steps, or a third of its own, if it has steps.

    The average of the weights is over as large a share of the steps.
    """
    own = params.check(presets.compose(given)).finetune
    key, whole = "finetune.steps", own.steps
    if whole is None:
        key, whole = "finetune.unfreeze.steps", own.unfreeze.steps
    if whole is None:
        return tuple(given)
    share = _SHARE if steps is None else steps / whole
    average = own.optimizer.average_weights
    shorter = max(0.0, 1.0 - (1.0 - average) / share) if average else 0.0
    count = max(1, round(whole * share))
    return (*given, f"{key}={count}", f"finetune.optimizer.average_weights={shorter}")


def compared(loss: NDArray[np.float64], reference: NDArray[np.float64]) -> str:
    """Return the mean difference of the losses of the same images, with its standard error."""
    difference = loss - reference
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return f"{difference.mean():+.3f} ± {error:.3f}"
