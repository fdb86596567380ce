"""The cost of averaging views in the packaged model of the preset plants_scratch."""

import numpy as np

from benchmarks import networks
from benchmarks.measure import seconds
from seedlings import params, processor
from seedlings.cli import presets
from seedlings.networks import backbones, models, runtime, tta
from seedlings.tasks import TASKS

_COUNTS = (1, 2, 4, 8)
_BATCH = 32
_REPEATS = 10


def main() -> None:
    settings = params.check(presets.compose(["plants_scratch"]))
    processor.use(portable=settings.portable)
    runtime.prepare(settings.seed, settings.threads)
    height, width = settings.segment.pixels
    backbone = backbones.build(settings.extract, height, width)
    model = networks.classifier(backbone, 12, TASKS[settings.task], settings.finetune)
    rng = np.random.default_rng(settings.seed)
    images = rng.integers(0, 256, (_BATCH, height, width, 3), dtype=np.uint8)
    columns = ("one image, ms", "of one view", "images/s", "of one view")
    print(f"{'views':>5} " + " ".join(f"{column:>13}" for column in columns))
    first: tuple[float, float] | None = None
    for count in _COUNTS:
        run = models.compiled(tta.averaged(model, count))
        run(images), run(images[:1])
        one = seconds(lambda: run(images[:1]), _REPEATS)  # noqa: B023  # called at once
        batch = seconds(lambda: run(images), _REPEATS)  # noqa: B023
        first = first or (one, batch)
        print(
            f"{count:>5} {1000 * one:>13.1f} {one / first[0]:>13.2f} {_BATCH / batch:>13.0f} "
            f"{first[1] / batch:>13.2f}"
        )


if __name__ == "__main__":
    main()
