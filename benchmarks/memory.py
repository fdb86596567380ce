"""Peak memory of segment and extract on some images and on ten times as many."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import limit, seedlings
from seedlings import images

_FEW, _MANY = 1_440, 14_400
_SIDE = 48  # pixels of the images of extract, so that it takes minutes and not a quarter of an hour

_SEGMENT = """
import pandas as pd
from seedlings import params
from seedlings.io import parts
from seedlings.config.reuse import Reuse
from seedlings.io.shards import Here
from seedlings.segmentation import cutouts
rows = []
for number in range(count):  # bytes after the end of an image make it another file
    data = (folder / f"{number % 144}.png").read_bytes() + str(number).encode()
    (folder / f"{number}.copy").write_bytes(data)
    rows.append((f"{number}.copy", parts.digest(data)))
table = pd.DataFrame(rows, columns=["path", "digest"])
segment = params.load().segment
cutouts.make(folder, table, segment, folder / "images", engine=Here(), last=Reuse(key=""))
"""
_EXTRACT = """
import numpy as np
from benchmarks import networks
from seedlings.io import parts, store
from seedlings.networks import backbones, runtime
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
_PEAK = """
import resource
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(code: str, count: int, folder: Path) -> float:
    """Return the peak memory, in MiB, of a process that runs the code."""
    start = (
        f"from pathlib import Path\nfolder, count, side = Path({str(folder)!r}), {count}, {_SIDE}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", start + code + _PEAK], stdout=subprocess.PIPE, text=True, check=True
    )
    return int(done.stdout.split()[-1]) / 1024


def main() -> None:
    pictures = seedlings(144)
    for name, code in (("segment", _SEGMENT), ("extract", _EXTRACT)):
        found = []
        for count in (_FEW, _MANY):
            with tempfile.TemporaryDirectory() as folder:
                for number, picture in enumerate(pictures):
                    (Path(folder) / f"{number}.png").write_bytes(images.encode_png(picture))
                found.append(peak(code, count, Path(folder)))
            print(f"{name} on {count:>6,} images: {found[-1]:7.0f} MiB at most", flush=True)
        growth = 100 * (found[1] / found[0] - 1)
        limit(f"{name}, growth for ten times the images", growth, 10, "%")


if __name__ == "__main__":
    main()
