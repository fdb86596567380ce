"""Outputs that differ on emulated processors, with and without the settings, and their cost.

Needs qemu-x86_64 (Debian: qemu-user). Names of other processors may follow as arguments.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measure import ROOT
from benchmarks.project import Project, environment
from seedlings import processor
from seedlings.config import paths, pipeline

# Unlike in maker, caches and instructions.
PROCESSORS = ("Haswell", "Skylake-Client", "EPYC-Rome", "EPYC-Milan")
# All stages, with training of convolutions and of batch normalisation on maps and vectors.
TINY = {
    "data": {"sample": {"images_per_class": 6, "side": 72}},
    "split": {"validation_per_class": 1},
    "segment": {"pixels": [64, 64]},
    "extract": {"width": 0.25, "cut": "block4_pool"},
    "baseline": {"epochs": 2},
    "finetune": {
        "epochs": 3,
        "convnet": {
            "filters": [16],
            "padding": "same",
            "pool": 1,
            "batch_normalization": "after_convolution",
        },
        "unfreeze": {"epochs": 1},
    },
    "evaluate": {"bootstrap_samples": 100, "mistakes": 6},
    "explain": {"steps": 2, "classes": 2, "images": 1, "smoothgrad_samples": 2},
}
_ROUNDS = 2

Digests = dict[str, dict[str, str]]


def main() -> None:
    emulator = shutil.which("qemu-x86_64")
    processors = sys.argv[1:] or PROCESSORS
    print(f"this processor: {processor.name()}")
    with tempfile.TemporaryDirectory() as name:
        expected = outputs(Path(name) / "expected", [], "on")
        print(f"{sum(map(len, expected.values()))} files of {len(expected)} stages")
        for setting in ("on", "off"):
            print(f"settings {setting}, against this processor with the settings on:")
            if setting == "off":
                report("this processor", expected, outputs(Path(name) / "off", [], "off"))
            for emulated in processors if emulator else ():
                folder = Path(name) / f"{emulated}-{setting}"
                found = outputs(folder, [str(emulator), "-cpu", emulated], setting)
                report(f"emulated {emulated}", expected, found)
    if not emulator:
        print("no emulated processor: qemu-x86_64 is absent (Debian: qemu-user)")
    cost()


def outputs(root: Path, emulator: list[str], setting: str) -> Digests:
    """Run a tiny pipeline in a new copy of the project; return the digests of its outputs."""
    root.mkdir()
    project = Project(root, TINY)
    project.run(*emulator, sys.executable, "-m", "benchmarks.all_stages", setting)
    return digests(root)


def digests(root: Path) -> Digests:
    """Return the SHA-256 of every output file of a project, by stage and path."""
    stages = pipeline.parse_stages((root / paths.PIPELINE).read_text(encoding="utf-8"))
    found: Digests = {}
    for stage, entry in stages.items():
        for out in entry["outs"]:
            path = root / out
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            for file in filter(Path.is_file, files):
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                found.setdefault(stage, {})[str(file.relative_to(root))] = digest
    return found


def report(name: str, expected: Digests, found: Digests) -> None:
    """Print how many files of each stage are the same, and the names of those that differ."""
    shares, different = [], []
    for stage, files in expected.items():
        others = found.get(stage, {})
        wrong = [x for x in sorted({*files, *others}) if files.get(x) != others.get(x)]
        shares.append(f"{stage} {len(files) - len(wrong)}/{len(files)}")
        different += wrong
    print(f"  {name}: {', '.join(shares)}")
    print(f"    differ: {', '.join(different) or 'none'}", flush=True)


def cost() -> None:
    """Print the images/s of extract and of training from images, settings on against off."""
    best: dict[tuple[str, str], float] = {}
    for _ in range(_ROUNDS):
        for setting in ("on", "off"):
            for name, rate in rates(setting).items():
                best[name, setting] = max(rate, best.get((name, setting), 0.0))
    for name in sorted({name for name, _ in best}):
        on, off = best[name, "on"], best[name, "off"]
        print(f"{name}: {on:.1f} images/s with the settings, {off:.1f} without: {on / off:.2f}")


def rates(setting: str) -> Mapping[str, float]:
    """Return the images/s that a process with this setting measures."""
    command = [sys.executable, "-m", "benchmarks.rates"]
    others = {k: v for k, v in environment().items() if k not in processor.SETTINGS}
    env = others | (processor.SETTINGS if setting == "on" else {})
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True)
    lines = (line.rpartition(" ") for line in done.stdout.splitlines())
    return {name: float(rate) for name, _, rate in lines}


if __name__ == "__main__":
    main()
