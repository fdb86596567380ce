"""What segment and extract compute, and DVC pushes, after a change of 1,440 real images.

Each change is also rebuilt from nothing, and the bytes are compared. 15 new images are mirrored
copies of others. `--small` shows the same with small images and another backbone, in a minute.
"""

import itertools
import re
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.measure import PLANTS
from benchmarks.project import SMALL, Project
from seedlings import images

PHOTOS = "data/photos"
ARRAYS = ("data/images", "data/features")
STAGES = ("segment", "extract")

_COMPUTED = re.compile(r"^(\w+): .*, (\d+) are computed$", re.MULTILINE)


def unpack(folder: Path) -> None:
    """Write the real images into one folder for each species."""
    with zipfile.ZipFile(PLANTS) as archive:
        for name in (name for name in archive.namelist() if name.endswith(".png")):
            _, species, file = name.split("/")
            (folder / species).mkdir(parents=True, exist_ok=True)
            (folder / species / file).write_bytes(archive.read(name))


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def add(folder: Path) -> None:
    for path in files(folder)[7::96][:15]:
        mirrored = np.ascontiguousarray(images.read(path)[:, ::-1])
        path.with_name(f"new-{path.name}").write_bytes(images.encode_png(mirrored))


def remove(folder: Path) -> None:
    for path in files(folder)[3::145][:10]:
        path.unlink()


def rename(folder: Path) -> None:
    for path in files(folder)[5::150]:
        path.rename(path.with_name(f"renamed-{path.name}"))


def move(folder: Path) -> None:
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    for one, other in itertools.pairwise(classes):
        path = files(one)[0]
        path.rename(other / f"moved-{path.name}")


def edit(folder: Path) -> None:
    path = files(folder)[700]
    picture = images.read(path).copy()
    picture[:10, :10] = 0
    path.write_bytes(images.encode_png(picture))


CHANGES: dict[str, Callable[[Path], None]] = {
    "15 added": add,
    "10 removed": remove,
    "10 renamed": rename,
    "11 moved to another class": move,
    "1 edited": edit,
}


def hashes(project: Project) -> dict[str, str]:
    """Return the hashes of the outputs of segment and extract in dvc.lock."""
    lock = yaml.safe_load((project.root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return {out["path"]: out["md5"] for stage in STAGES for out in lock[stage]["outs"]}


def size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run(project: Project, *, reuse: bool) -> tuple[dict[str, int], float]:
    """Run segment and extract; return how many rows each computed, and the seconds."""
    project.env["SEEDLINGS_REUSE"] = "on" if reuse else "off"
    start = time.perf_counter()
    force = [] if reuse else ["--force"]
    printed = project.run("dvc", "repro", "--single-item", *force, *STAGES)
    took = time.perf_counter() - start
    return {stage: int(rows) for stage, rows in _COMPUTED.findall(printed)}, took


def push(project: Project, remote: Path) -> int:
    """Push the arrays; return the bytes that the remote has more than before."""
    before = size(remote)
    project.run("dvc", "push", "--remote", "here", *ARRAYS)
    return size(remote) - before


def main() -> None:
    small: dict[str, Any] = SMALL if "--small" in sys.argv else {}
    params = {
        **small,
        "data": {"source": "folder", "path": PHOTOS},
        "split": {"validation_per_class": 12},
    }
    with tempfile.TemporaryDirectory() as name:
        remote = Path(name) / "remote"
        remote.mkdir()
        project = Project(Path(name) / "project", params)
        photos = project.root / PHOTOS
        unpack(photos)
        project.run("dvc", "remote", "add", "here", str(remote))
        project.run("dvc", "repro", "split")
        _, took = run(project, reuse=True)
        arrays = sum(size(project.root / path) for path in ARRAYS)
        print(
            f"{len(files(photos))} images: {took:.0f} s, arrays of {arrays / 1e6:.1f} MB, "
            f"{push(project, remote) / 1e6:.1f} MB pushed",
            flush=True,
        )
        row = "{:<26} {:>9} {:>9} {:>8} {:>10} {:>9}  {}"
        print(row.format("change", "segmented", "extracted", "seconds", "a rebuild", "pushed", ""))
        for change, action in CHANGES.items():
            action(photos)
            project.run("dvc", "repro", "split")
            ran, took = run(project, reuse=True)
            pushed, reused = push(project, remote), hashes(project)
            _, rebuild = run(project, reuse=False)
            same = hashes(project) == reused
            print(
                row.format(
                    change,
                    ran.get("segment", 0),
                    ran.get("extract", 0),
                    f"{took:.1f}",
                    f"{rebuild:.1f} s",
                    f"{pushed / arrays:.1%}",
                    "same bytes" if same else "OTHER BYTES",
                ),
                flush=True,
            )
            if not same:
                sys.exit(1)


if __name__ == "__main__":
    main()
