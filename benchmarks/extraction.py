"""Images/s of extract, of the network alone on images in memory, and of one image at a time."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import arrays, networks
from benchmarks.measure import compare, seconds, seedlings
from seedlings.networks import backbones, models, runtime

_IMAGES = 320
_REPEATS = 2


def one_by_one() -> float:
    """Return the images/s of one image at a time."""
    command = [sys.executable, "-m", "benchmarks.one_by_one"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    rates = {"one image at a time": one_by_one()}
    settings = networks.full_vgg16()
    runtime.prepare(settings.seed, settings.threads)
    pictures = np.stack(seedlings(_IMAGES))
    extractor = backbones.build(settings.extract, *pictures.shape[1:3]).feature_extractor
    function = models.compiled(extractor)
    size = settings.extract.batch_size
    function(pictures[:size])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arrays.write(folder / "images", pictures)

        def network() -> None:
            for start in range(0, _IMAGES, size):
                function(pictures[start : start + size])

        def extract() -> None:
            networks.extract(extractor, folder / "images", folder / "features", settings)

        rates["the network alone"] = _IMAGES / seconds(network, _REPEATS)
        rates["extract"] = _IMAGES / seconds(extract, _REPEATS)
    for other, rate in rates.items():
        print(f"{other:<20} {rate:>7.1f} images/s")
    one, network_alone = rates["one image at a time"], rates["the network alone"]
    compare("extract / one image at a time", rates["extract"] / one, 2.3)
    compare("extract / the network alone", rates["extract"] / network_alone, 0.9)


if __name__ == "__main__":
    main()
