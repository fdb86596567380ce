"""`predict --output` on 100,000 small files: rows after two kills, memory, images/s."""

import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import limit, seconds
from benchmarks.project import environment
from seedlings import images, params
from seedlings.networks import architectures
from seedlings.packaging import bundle
from seedlings.serving import predictions
from seedlings.serving.predictor import Predictor
from seedlings.tasks import TASKS

_FEW, _MANY = 10_000, 100_000
_SIDE = 24
_FOLDERS = 100
_KILLED_AFTER = (9, 30)  # parts of the 49

# The command, and its peak memory; the console script may be that of another checkout.
_COMMAND = """
import resource, sys
from seedlings import cli
try:
    cli.cli(standalone_mode=False)
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def make_files(folder: Path, count: int) -> None:
    """Write images of noise into folders; a thousand different ones, as reading is the same."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (1000, _SIDE, _SIDE, 3), dtype=np.uint8)
    encoded = [images.encode_png(image) for image in noise]
    for number in range(count):
        path = folder / f"{number % _FOLDERS:03d}" / f"{number:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded[number % len(encoded)])


def make_model(path: Path) -> None:
    """Write a bundle of a logistic regression on the pixels."""
    names = [f"class {number}" for number in range(12)]
    model = architectures.baseline((_SIDE, _SIDE, 3), len(names), TASKS["multiclass"])
    segment = {**params.load().segment.model_dump(), "pixels": [_SIDE, _SIDE]}
    bundle.write(model, bundle.Contents("multiclass", names, segment, 0.5, (0.0, 1.0)), path)


def start(folder: Path, name: str, output: str) -> subprocess.Popen[str]:
    """Start the command on the files in a folder of a name."""
    options = ("--model", str(folder / "model"), "--output", str(folder / output))
    command = [sys.executable, "-c", _COMMAND, "predict", str(folder / name), *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment())


def finish(process: subprocess.Popen[str], what: str) -> tuple[float, float]:
    """Wait for a command; print and return its images/s and its peak memory in MiB."""
    output, errors = process.communicate()
    if process.returncode:
        sys.exit(errors)
    rate = float(re.findall(r"([\d.]+) images/s", output)[0])
    peak = int(output.split()[-1]) / 1024
    print(f"{what:<32} {rate:>7.0f} images/s {peak:>7.0f} MiB at most", flush=True)
    return rate, peak


def killed(folder: Path, name: str, output: str) -> None:
    """Run the command, which is killed twice and then completes."""
    for parts in _KILLED_AFTER:
        process = start(folder, name, output)
        while process.poll() is None and len([*(folder / output).glob("*.parquet")]) < parts:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        done = len([*(folder / output).glob("*.parquet")])
        print(f"killed with {done} parts complete", flush=True)
    finish(start(folder, name, output), f"{_MANY:,} files, the rest")


def check(folder: Path, name: str) -> None:
    """Exit if the parts of both runs differ, or if a file has not exactly one row."""
    parts = [
        {path.name: path.read_bytes() for path in (folder / output).iterdir()}
        for output in ("whole.parquet", "killed.parquet")
    ]
    if parts[0] != parts[1]:
        sys.exit("expected the same bytes after two kills, found others")
    found = pd.read_parquet(folder / "killed.parquet", columns=["path", "error"])
    expected = sorted(map(str, (folder / name).rglob("*.png")))
    if found["path"].tolist() != expected or (found["error"] != "").any():
        sys.exit(f"expected {len(expected)} rows, one for each file, found {len(found)}")
    print(f"{len(found):,} rows, one for each file; the same bytes with and without two kills")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "model")
        make_files(folder / "few", _FEW)
        make_files(folder / "many", _MANY)
        _, few = finish(start(folder, "few", "few.parquet"), f"{_FEW:,} files")
        _, many = finish(start(folder, "many", "whole.parquet"), f"{_MANY:,} files")
        killed(folder, "many", "killed.parquet")
        check(folder, "many")
        predictor = Predictor(folder / "model")
        took = seconds(lambda: predictions.of_files(predictor, [folder / "few"]))
        print(f"{_FEW:,} files, a table in memory  {_FEW / took:>7.0f} images/s")
        limit("growth of memory for ten times the files", 100 * (many / few - 1), 10, "%")


if __name__ == "__main__":
    main()
