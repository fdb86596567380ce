"""Two rebuilds from the archive of real images: both have to write the same dvc.lock."""

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import PLANTS, seconds
from benchmarks.project import Project

_PARAMS = {"data": {"source": "archive", "path": str(PLANTS), "folder": "train"}}


def main() -> None:
    if not PLANTS.is_file():
        print(f"not measured: {PLANTS.name} is absent")
        return
    with tempfile.TemporaryDirectory() as name:
        locks = []
        for number in range(2):
            project = Project(Path(name) / str(number), _PARAMS)
            print(f"rebuild {number + 1}: {seconds(project.repro):.0f} s", flush=True)
            locks.append((project.root / "dvc.lock").read_text(encoding="utf-8"))
        print(project.run("seedlings", "summary"))
    if locks[0] != locks[1]:
        sys.exit("the two rebuilds differ")
    print("both rebuilds write the same dvc.lock")


if __name__ == "__main__":
    main()
