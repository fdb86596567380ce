"""Images/s of VGG16 and of training `plants_scratch`, on random images, in this process's settings.

It is a process of benchmarks.portability.
"""

import time
from collections.abc import Callable

import numpy as np

from benchmarks import networks
from seedlings import params
from seedlings.cli import presets
from seedlings.networks import backbones, models, runtime
from seedlings.tasks import TASKS
from seedlings.training import fit

_BATCH = 32
_STEPS = 4
_TASK = TASKS["multiclass"]


def main() -> None:
    settings = networks.full_vgg16()
    runtime.prepare(settings.seed, settings.threads)
    rng = np.random.default_rng(settings.seed)
    images = rng.integers(0, 256, (_BATCH, 150, 150, 3), dtype=np.uint8)
    function = models.compiled(backbones.build(settings.extract, 150, 150).feature_extractor)
    print(f"extract, VGG16 {_rate(lambda: function(images)):.2f}", flush=True)

    scratch = params.check(presets.compose(["plants_scratch"]))
    height, width = scratch.segment.pixels
    backbone = backbones.build(scratch.extract, height, width)
    model = networks.classifier(backbone, 12, _TASK, scratch.finetune)
    rate = scratch.finetune.optimizer.learning_rate
    optimizer = fit.make_optimizer(scratch.finetune, rate=rate, epochs=1, steps=_STEPS)
    model.compile(optimizer, _TASK.loss)
    images = rng.integers(0, 256, (_BATCH, height, width, 3), dtype=np.uint8)
    labels = rng.integers(0, 12, _BATCH)
    print(f"training, plants_scratch {_rate(lambda: model.train_on_batch(images, labels)):.2f}")


def _rate(action: Callable[[], object]) -> float:
    """Return the images/s of an action on a batch, after a first call that compiles it."""
    action()
    start = time.perf_counter()
    for _ in range(_STEPS):
        action()
    return _BATCH * _STEPS / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
