"""Rates of this machine, and from them the storage and the time of 10 million images.

docs/scale.md explains the table. Only the rates are measured.
"""

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import arrays, networks
from benchmarks.measure import in_turns, seconds, seedlings
from benchmarks.project import environment
from seedlings import images
from seedlings.data import duplicates
from seedlings.networks import backbones, models, runtime
from seedlings.segmentation import cutouts
from seedlings.serving import addresses

_N = 10_000_000
_WORKERS = (1, 8, 64)
_GIGABIT = 1e9 / 8  # bytes/s: an assumption


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is measured; large files have 4 MiB, as the parts of an array."""

    images: int = 160
    files: int = 10_000
    hashes: int = 16_384
    large_files: int = 64
    rounds: int = 3


def main(*, small: bool) -> None:
    counts = Counts(16, 200, 512, 2, 1) if small else Counts()
    with tempfile.TemporaryDirectory() as name:
        files = file_rates(Path(name) / "files", counts)
        (Path(name) / "images").mkdir()
        work, stored = image_rates(Path(name) / "images", counts, small=small)
    print("measured, per second, on this machine:")
    for what, rate in {**files, **work}.items():
        print(f"  {what:<28} {rate:>14,.0f}")
    print(f"\n{_N:,} images like these:")
    for what, size in stored.items():
        print(f"  {what:<15} {size:>8,.0f} bytes each {size * _N / 1e9:>8,.0f} GB")
    print(f"\n{'hours':<28}" + "".join(f"{n:>9}" for n in _WORKERS) + "  workers")
    results = (stored["data/images"] + stored["data/features"]) * _N
    shared = {
        "decode and segment": _N / work["decode and segment"],
        "extract": _N / work["extract"],
        "read the files, 1 Gbit/s": stored["files"] * _N / _GIGABIT,
    }
    of_one_process = {
        "hash (split)": _N / work["hash (split)"],
        "results to one client": results / _GIGABIT,
        "dvc add, the files": _N / files["dvc add, small files"],
        "dvc add, both arrays": results / 1e6 / files["dvc add, MB of large files"],
        "pairs of hashes (split)": _N**2 / 2 / files["pairs of perceptual hashes"],
        "list local files": _N / files["list local files"],
    }
    for what, took in shared.items():
        _row(what, [took / n for n in _WORKERS])
    for what, took in of_one_process.items():
        _row(what, [took] * len(_WORKERS))


def _row(what: str, times: list[float]) -> None:
    print(f"{what:<28}" + "".join(f"{took / 3600:>9,.2f}" for took in times))


def file_rates(folder: Path, counts: Counts) -> dict[str, float]:
    """Return the rates of listing and hashing, per second."""
    rng = np.random.default_rng(0)

    def small(target: Path) -> None:
        for number in range(counts.files):
            path = target / f"{number % 100}" / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(f"{number}".encode() * 1000)

    def large(target: Path) -> None:
        for number in range(counts.large_files):
            (target / f"{number}").write_bytes(rng.bytes(4 * 2**20))

    added, added_large = dvc_add(folder / "small", small), dvc_add(folder / "large", large)
    listed = seconds(lambda: [*addresses.stamped(str(folder / "small" / "data"))])
    values = rng.integers(0, 2**63, (counts.hashes, 2), dtype=np.uint64)
    table = pd.DataFrame(values, columns=["exact", "perceptual"])
    pairs = seconds(lambda: duplicates.group(table, 4))
    return {
        "list local files": counts.files / listed,
        "dvc add, small files": counts.files / added,
        "dvc add, MB of large files": counts.large_files * 4.194304 / added_large,
        "pairs of perceptual hashes": counts.hashes**2 / 2 / pairs,
    }


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
    return max(0.01, seconds(lambda: run("dvc", "add", "--quiet", "data")) - start)


def image_rates(
    folder: Path, counts: Counts, *, small: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Return images per second of the stages, and bytes of storage per image."""
    settings = networks.full_vgg16(small=small)
    runtime.prepare(settings.seed, settings.threads)
    encoded = [images.encode_png(image) for image in seedlings(counts.images)]
    table = pd.DataFrame({"path": [f"{number}.png" for number in range(counts.images)]})
    for path, data in zip(table["path"], encoded, strict=True):
        (folder / path).write_bytes(data)
    extractor = backbones.build(settings.extract, *settings.segment.pixels).feature_extractor
    function, size = models.compiled(extractor), settings.extract.batch_size

    task = cutouts.Cutting(folder, settings.segment)
    files = list(zip(table["path"], encoded, strict=True))
    shards = [files[n : n + task.shard_size] for n in range(0, counts.images, task.shard_size)]

    def segment() -> np.ndarray:
        return np.concatenate([task.run(shard)[0] for shard in shards])

    def extract() -> np.ndarray:
        batches = [cut_outs[n : n + size] for n in range(0, counts.images, size)]
        return np.concatenate([function(batch) for batch in batches])

    cut_outs = segment()
    found = extract()
    times = in_turns(
        {
            "hash (split)": lambda: duplicates.fingerprint(folder, table),
            "decode and segment": segment,
            "extract": extract,
        },
        counts.rounds,
    )
    rates = {name: counts.images / float(np.median(took)) for name, took in times.items()}
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
