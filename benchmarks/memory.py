"""Peak memory of segment, extract and `predict --output`, on some images and ten times as many."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import networks
from benchmarks.measure import at_most
from benchmarks.project import environment
from seedlings import images, params
from seedlings.networks import architectures
from seedlings.tasks import TASKS

_SIDE = 48  # pixels, so that it takes minutes and not a quarter of an hour
_DIFFERENT = 144

_SEGMENT = """
import pandas as pd
from seedlings import params
from seedlings.io import parts
from seedlings.config.reuse import Reuse
from seedlings.io.shards import Here
from seedlings.segmentation import cutouts
rows = [(path.name, parts.digest(path.read_bytes())) for path in sorted((folder / "raw").iterdir())]
table = pd.DataFrame(rows, columns=["path", "digest"])
segment, raw = params.load().segment, folder / "raw"
cutouts.make(raw, table, segment, folder / "images", engine=Here(), last=Reuse(key=""))
"""
_EXTRACT = """
from benchmarks import networks
from seedlings.networks import backbones, runtime
from seedlings.io import parts, store
import numpy as np
settings = networks.full_vgg16()
runtime.prepare(settings.seed, settings.threads)
rng = np.random.default_rng(0)
names = parts.digests([parts.digest(str(number).encode()) for number in range(count)])
shape = (side, side, 3)
store.write(
    folder / "small",
    names,
    lambda keys: rng.integers(0, 256, (len(keys), *shape), dtype=np.uint8),
    row_shape=shape,
    dtype=np.uint8,
    with_contents=True,
)
extractor = backbones.build(settings.extract, side, side).feature_extractor
networks.extract(extractor, folder / "small", folder / "features", settings)
"""
_PREDICT = """
from seedlings import cli
options = ["--model", str(folder / "model"), "--output", str(folder / "answers.parquet")]
cli.cli(["predict", str(folder / "raw"), *options], standalone_mode=False)
"""
_PEAK = """
import resource
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main(*, small: bool) -> None:
    for name, code, few in (
        ("segment", _SEGMENT, 1_440),
        ("extract", _EXTRACT, 1_440),
        ("predict --output", _PREDICT, 10_000),
    ):
        counts = (10, 100) if small else (few, 10 * few)
        found = [peak(name, code, count) for count in counts]
        growth = 100 * (found[1] / found[0] - 1)
        at_most(f"{name}, growth for ten times the images", growth, 10, "%")


def peak(name: str, code: str, count: int) -> float:
    """Print and return the peak memory, in MiB, of a process that runs the code on some images."""
    with tempfile.TemporaryDirectory() as folder:
        _write_images(Path(folder) / "raw", count)
        _write_model(Path(folder) / "model")
        start = (
            f"from pathlib import Path\nfolder, count, side = Path({folder!r}), {count}, {_SIDE}"
        )
        done = subprocess.run(
            [sys.executable, "-c", f"{start}\n{code}{_PEAK}"],
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
            check=True,
        )
    found = int(done.stdout.split()[-1]) / 1024
    rate = "".join(re.findall(r", [\d.]+ images/s", done.stdout))
    print(f"{name} on {count:>7,} images: {found:7.0f} MiB at most{rate}", flush=True)
    return found


def _write_images(folder: Path, count: int) -> None:
    """Write images of noise; bytes after the end of an image make it another file."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (_DIFFERENT, _SIDE, _SIDE, 3), dtype=np.uint8)
    encoded = [images.encode_png(image) for image in noise]
    folder.mkdir()
    for number in range(count):
        data = encoded[number % _DIFFERENT] + str(number).encode()
        (folder / f"{number:07d}.png").write_bytes(data)


def _write_model(path: Path) -> None:
    """Write a bundle of a logistic regression on the pixels."""
    names = [f"class {number}" for number in range(12)]
    model = architectures.baseline((_SIDE, _SIDE, 3), len(names), TASKS["multiclass"])
    segment = {**params.load().segment.model_dump(), "pixels": [_SIDE, _SIDE]}
    contents = networks.contents("multiclass", names, segment)
    networks.package(model, contents, path)
