"""Images that maximise filters of the synthetic network beside those of a random one, in one PNG.

`python -m benchmarks.filters FILE`; by activation maximisation, as in the stage explain. `--small`
takes one step.
"""

import argparse
import os
from pathlib import Path

from benchmarks import networks
from benchmarks.measure import ROOT
from seedlings import params
from seedlings.cli import presets
from seedlings.explain import activation_maximization, gradients
from seedlings.explain.activation_maximization import MaximizedImage
from seedlings.networks import backbones, runtime
from seedlings.plots import image_grid
from seedlings.plots.image_grid import Row, Tile
from seedlings.tasks import TASKS

_LAYERS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")
_COLUMNS = 4
_STEPS = 64


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.filters")
    parser.add_argument("path", type=Path)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    path = options.path.absolute()
    os.chdir(ROOT)
    size, steps = (48, 1) if options.small else (128, _STEPS)
    found = {name: maximize(name, size=size, steps=steps) for name in ("synthetic", "random")}
    rows = []
    for layer in _LAYERS:
        own = [one for side in found.values() for one in side if one.layer == layer]
        tiles = [Tile(one.image, f"{one.start:.3g} to {one.end:.3g}") for one in own]
        rows.append(Row(f"{layer}: {_COLUMNS} filters synthetic, {_COLUMNS} random", tiles))
    image_grid.write(image_grid.draw(rows, tile=96), path)
    print(f"{path.name}: {len(rows)} layers")


def maximize(weights: str, *, size: int, steps: int) -> list[MaximizedImage]:
    """Return images for some filters of a quarter of VGG16: the first ones of each layer."""
    filters = ",".join(f"{layer}: {list(range(_COLUMNS))}" for layer in _LAYERS)
    changes = [
        f"extract.weights={weights}",
        f"explain.filters={{{filters}}}",
        f"explain.steps={steps}",
    ]
    settings = params.check(presets.compose(["sample", *changes]))
    runtime.prepare(settings.seed, settings.threads)
    backbone = backbones.build(settings.extract, size, size)
    model = networks.classifier(backbone, 2, TASKS[settings.task], settings.finetune)
    network = gradients.differentiable(model)
    return activation_maximization.of_filters(network, settings.explain, settings.seed)


if __name__ == "__main__":
    main()
