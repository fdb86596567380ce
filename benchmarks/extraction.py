"""Extraction against the chapter's way, and against the bare network on images in memory."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import compare, seconds, seedlings
from seedlings import params
from seedlings.io import store
from seedlings.networks import backbones, features, models, runtime

_IMAGES = 320
_REPEATS = 2


def one_by_one() -> float:
    """The chapter's way, in images/s."""
    command = [sys.executable, "-m", "benchmarks.one_by_one"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    rates = {"the chapter's way": one_by_one()}
    settings = params.load()
    runtime.prepare(settings.seed, settings.threads)
    pictures = np.stack(seedlings(_IMAGES))
    trunk = backbones.build(settings.extract, *pictures.shape[1:3]).trunk
    function = models.compiled(trunk)
    size = settings.extract.batch_size
    function(pictures[:size])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with store.create(folder / "images", pictures.shape[1:], np.uint8) as writer:
            writer.append(pictures)

        def bare() -> None:
            for start in range(0, _IMAGES, size):
                function(pictures[start : start + size])

        def extract() -> None:
            features.extract(trunk, folder / "images", folder / "features", batch_size=size, key="")

        rates["the bare network"] = _IMAGES / seconds(bare, _REPEATS)
        rates["extract"] = _IMAGES / seconds(extract, _REPEATS)
    for other, rate in rates.items():
        print(f"{other:<18} {rate:>7.1f} images/s")
    compare("extract against the chapter's way", rates["extract"] / rates["the chapter's way"], 2.3)
    compare("extract against the bare network", rates["extract"] / rates["the bare network"], 0.9)


if __name__ == "__main__":
    main()
