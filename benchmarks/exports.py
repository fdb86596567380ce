"""Exports: their size, how equal their answers are, and what a first and many answers cost.

Each model is trained and packaged by the pipeline, most for a few epochs. Its test images go
through the packaged model and through the export, whose script runs in an environment with its
requirements alone. A process that predicts one image is measured from its start to its end, with
`seedlings predict` beside it.
"""

import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import PLANTS
from benchmarks.project import SMALL, Project, environment
from seedlings import images
from seedlings.config import paths
from seedlings.exports import folder
from seedlings.exports.runtimes import RUNTIMES
from seedlings.io import split_table

_MB = 1e6
_MIB = 2**20
_IMAGES = 1440
_BULK = 10_000
_QUICK = ("finetune.epochs=5", "finetune.steps=null")
_LABELS = (
    *("folder", "model=vgg16_synthetic", "segment.pixels=[150,150]", "split.rule=share"),
    *("split.validation_share=0.2", "extract.pooling=average", "data.annotations.file=labels.csv"),
    *("data.annotations.path=path", "data.annotations.match=path"),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took: seconds, seconds of the processor, and its peak memory in bytes."""

    wall: float
    processor: float
    memory: float

    def __str__(self) -> str:
        return f"{self.wall:5.2f} s, {self.processor:5.2f} s cpu, {self.memory / _MIB:5.0f} MiB"


def main(*, small: bool) -> None:
    if not small and not PLANTS.is_file():
        print(f"not measured: {PLANTS.name} is absent")
        return
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        python = {} if small else environments(root)
        project = Project(root / "project", ("sample",))
        for title, preset in _models(root, small=small).items():
            project.set(preset)
            project.run("dvc", "repro", "package")
            print(f"\n{title}: {_size(project.root / paths.PACKAGED) / _MB:.1f} MB packaged")
            for form in ("litert",) if small else RUNTIMES:
                export(project, form, python.get(form, Path(sys.executable)))
        bulk(project, 20 if small else _BULK, python)


def _models(root: Path, *, small: bool) -> Mapping[str, tuple[str, ...]]:
    """Return the parameters of each model; the last one is the default."""
    if small:
        return {"sample, small": SMALL}
    with zipfile.ZipFile(PLANTS) as archive:
        archive.extractall(root / "plants")
    real = (
        "data.source=folder",
        f"data.path={root / 'plants' / 'train'}",
        "data.url=null",
        "data.folder=null",
    )
    labelled = write_labels(root / "labelled")
    own = f"data.path={labelled}"
    return {
        "plants_scratch, 8 copies, 5 epochs": ("plants_scratch", *real, *_QUICK),
        "Lite0, features of 6 layers": ("folder", *real, "segment.method=excess_green"),
        "tags": (
            *_LABELS,
            own,
            "task=multilabel",
            "data.annotations.label=tags",
            "data.annotations.separator=' '",
        ),
        "a number": (*_LABELS, own, "task=regression", "data.annotations.label=number"),
        "sample (the default)": ("sample",),
    }


def write_labels(target: Path) -> Path:
    """Write 1,440 real images with a table: tags, the words of their species; and their green."""
    rows = []
    with zipfile.ZipFile(PLANTS) as archive:
        for number, name in enumerate(n for n in archive.namelist() if n.endswith(".png")):
            data = archive.read(name)
            file = f"{number:04d}.png"
            target.mkdir(exist_ok=True)
            (target / file).write_bytes(data)
            tags = Path(name).parent.name.lower().replace("’", "").split()
            red, green, blue = images.decode(data).reshape(-1, 3).mean(axis=0)
            rows.append((file, " ".join(tags), round(float(2 * green - red - blue), 3)))
    table = pd.DataFrame(rows[:_IMAGES], columns=["path", "tags", "number"])
    table.to_csv(target / "labels.csv", index=False)
    return target


def environments(root: Path) -> dict[str, Path]:
    """Return the Python of an environment for each format, with its requirements alone."""
    found = {}
    for form in RUNTIMES:
        home = root / "environments" / form
        python = home / "bin" / "python"
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, home], check=True)
        install = ["uv", "pip", "install", "--quiet", "--python", str(python)]
        subprocess.run([*install, *folder.requirements(form)], check=True)
        print(f"environment of {form}: {_size(home) / _MB:.0f} MB")
        found[form] = python
    return found


def export(project: Project, form: str, python: Path) -> None:
    """Print the size of an export, how equal it is, and what it costs to answer."""
    target = project.root / "exports" / form
    start = time.perf_counter()
    project.run("seedlings", "export", "--format", form, "--tolerance", "1e-4")
    took = time.perf_counter() - start
    found = folder.read(target)["equality"]
    picture = project.root / paths.RAW / _tests(project.root)[0]
    run([python, target / "predict.py", picture])  # the first one compiles Python's files
    cost = run([python, target / "predict.py", picture])
    network = _size(target) / _MB
    print(
        f"  {form:<12} {network:6.1f} MB, written and compared in {took:5.1f} s; "
        f"{found['images']} images: output {found['output']:.1e}, distance "
        f"{found['distance']:.1e}; one image {cost}",
        flush=True,
    )


def bulk(project: Project, count: int, python: Mapping[str, Path]) -> None:
    """Print what one image and many files cost with each engine, and with each export."""
    tests = _tests(project.root)
    folder_ = project.root / "bulk"
    folder_.mkdir()
    for number in range(count):
        source = project.root / paths.RAW / tests[number % len(tests)]
        (folder_ / f"{number:05d}.png").symlink_to(source)
    seedlings: list[object] = [
        sys.executable,
        "-c",
        "from seedlings import cli; cli.main()",
        "predict",
    ]
    for engine in ("litert", "tensorflow"):
        command = [*seedlings, "--engine", engine, "--csv"]
        run([*command, folder_ / "00000.png"], project)
        print(f"seedlings predict, {engine}: {run([*command, folder_ / '00000.png'], project)}")
        print(f"  {count} files: {run([*command, folder_], project)}", flush=True)
    cost = run([*seedlings, folder_, "--output", project.root / "answers"], project)
    print(f"seedlings predict --output, tensorflow\n  {count} files: {cost}")
    for form, own in python.items():
        cost = run([own, project.root / "exports" / form / "predict.py", "--csv", folder_])
        print(f"predict.py, {form}\n  {count} files: {cost}", flush=True)


def run(command: Sequence[object], project: Project | None = None) -> Cost:
    """Run a command, and return what it took with all that it started; exit if it fails."""
    environment_ = environment() if project else {"PATH": os.environ["PATH"]}
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=project.root if project else None,
        env=environment_,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} failed:\n{said.decode()}")
    wall = time.perf_counter() - start
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024.0)


def _tests(root: Path) -> list[str]:
    table = split_table.read(root / paths.SPLIT)
    return list(table["path"].iloc[np.sort(split_table.rows(table, "test"))])


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
