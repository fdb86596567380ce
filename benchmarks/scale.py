"""Rates of this machine, and from them the storage and the time of 10 million images.

docs/scale.md explains the table. Only the rates are measured.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import arrays, networks
from benchmarks.measure import seconds, seedlings
from benchmarks.project import environment
from seedlings import images
from seedlings.data import duplicates
from seedlings.networks import backbones, models, runtime
from seedlings.segmentation import cutouts
from seedlings.serving import addresses

_N = 10_000_000
_WORKERS = (1, 8, 64)
_IMAGES = 160
_REPEATS = 3
_FILES = 10_000
_HASHES = 16_384
_BIG = 64  # files of 4 MiB, as the parts of an array
_GIGABIT = 1e9 / 8  # bytes/s: an assumption


def dvc_add(folder: Path, write: Callable[[Path], None]) -> float:
    """Return the seconds of `dvc add` for new files: hashes, and copies or links in the cache."""
    data = folder / "data"
    data.mkdir(parents=True)
    write(data)

    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)

    run("git", "init", "--quiet")
    run("dvc", "init", "--quiet")
    start = seconds(lambda: run("dvc", "status"))  # the start of the process alone
    return seconds(lambda: run("dvc", "add", "--quiet", "data")) - start


def _small(folder: Path) -> None:
    for number in range(_FILES):
        path = folder / f"{number % 100}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(f"{number}".encode() * 1000)


def _large(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(_BIG):
        (folder / f"{number}").write_bytes(rng.bytes(4 * 2**20))


def file_rates(folder: Path) -> dict[str, float]:
    """Return the rates of listing and hashing, per second."""
    small = dvc_add(folder / "small", _small)
    large = dvc_add(folder / "large", _large)
    listed = seconds(lambda: [*addresses.files(str(folder / "small" / "data"))], 3)
    values = np.random.default_rng(0).integers(0, 2**63, (_HASHES, 2), dtype=np.uint64)
    table = pd.DataFrame(values, columns=["exact", "perceptual"])
    pairs = seconds(lambda: duplicates.group(table, 4))
    return {
        "list local files": _FILES / listed,
        "dvc add, small files": _FILES / small,
        "dvc add, MB of large files": _BIG * 4.194304 / large,
        "pairs of perceptual hashes": _HASHES**2 / 2 / pairs,
    }


def image_rates(folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Return images per second of the stages, and bytes of storage per image."""
    settings = networks.full_vgg16()
    runtime.prepare(settings.seed, settings.threads)
    encoded = [images.encode_png(image) for image in seedlings(_IMAGES)]
    table = pd.DataFrame({"path": [f"{number}.png" for number in range(_IMAGES)]})
    for path, data in zip(table["path"], encoded, strict=True):
        (folder / path).write_bytes(data)
    cut_outs = np.stack([cutouts.one(images.decode(data), settings.segment) for data in encoded])
    extractor = backbones.build(settings.extract, *settings.segment.pixels).feature_extractor
    function, size = models.compiled(extractor), settings.extract.batch_size
    found = np.concatenate([function(cut_outs[n : n + size]) for n in range(0, _IMAGES, size)])
    actions: dict[str, Callable[[], object]] = {
        "hash (split)": lambda: duplicates.fingerprint(folder, table),
        "decode and segment": lambda: [
            cutouts.one(images.decode(data), settings.segment) for data in encoded
        ],
        "extract": lambda: [function(cut_outs[n : n + size]) for n in range(0, _IMAGES, size)],
    }
    rates = {name: _IMAGES / seconds(action, _REPEATS) for name, action in actions.items()}
    stored = {
        "files": float(np.mean([len(data) for data in encoded])),
        "data/images": _stored(folder / "images", cut_outs),
        "data/features": _stored(folder / "features", found),
    }
    return rates, stored


def _stored(path: Path, rows: np.ndarray) -> float:
    """Return the bytes of a row in the array store."""
    arrays.write(path, rows, with_contents=False)
    total = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return total / len(rows)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        files = file_rates(Path(name) / "files")
        (Path(name) / "images").mkdir()
        work, stored = image_rates(Path(name) / "images")
    print("measured, per second, on this machine:")
    for what, rate in {**files, **work}.items():
        print(f"  {what:<28} {rate:>14,.0f}")
    print(f"\n{_N:,} images like these:")
    for what, size in stored.items():
        print(f"  {what:<15} {size:>8,.0f} bytes each {size * _N / 1e9:>8,.0f} GB")
    print(f"\n{'hours':<28}" + "".join(f"{n:>9}" for n in _WORKERS) + "  workers")
    for what, rate in work.items():
        if what == "hash (split)":
            _row(what, [_N / rate] * len(_WORKERS))
        else:
            _row(what, [_N / rate / n for n in _WORKERS])
    _row("read the files, 1 Gbit/s", [stored["files"] * _N / _GIGABIT / n for n in _WORKERS])
    client = {
        "results to one client": (stored["data/images"] + stored["data/features"]) * _N / _GIGABIT,
        "dvc add, the files": _N / files["dvc add, small files"],
        "dvc add, both arrays": (stored["data/images"] + stored["data/features"])
        * _N
        / 1e6
        / files["dvc add, MB of large files"],
        "pairs of hashes (split)": _N**2 / 2 / files["pairs of perceptual hashes"],
        "list local files": _N / files["list local files"],
    }
    for what, took in client.items():
        _row(what, [took] * len(_WORKERS))
    sys.stdout.flush()


def _row(what: str, times: list[float]) -> None:
    print(f"{what:<28}" + "".join(f"{took / 3600:>9,.2f}" for took in times))


if __name__ == "__main__":
    main()
