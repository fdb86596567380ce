"""The real images from nothing, twice: both rebuilds have to give the same dvc.lock."""

import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.measure import PLANTS, ROOT, seconds


def build(folder: Path) -> None:
    """Clone the project and reproduce it on the archive of real images."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    tree = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    tree["data"] |= {"source": "archive", "path": str(PLANTS), "folder": "train"}
    (folder / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    subprocess.run(["dvc", "repro"], cwd=folder, check=True, capture_output=True)


def main() -> None:
    if not PLANTS.is_file():
        print(f"not measured: {PLANTS.name} is absent")
        return
    with tempfile.TemporaryDirectory() as name:
        locks = []
        for number in range(2):
            folder = Path(name) / str(number)
            print(f"rebuild {number + 1}: {seconds(lambda f=folder: build(f)):.0f} s", flush=True)
            locks.append((folder / "dvc.lock").read_text(encoding="utf-8"))
        summary = ["seedlings", "summary"]
        print(
            subprocess.run(summary, cwd=folder, check=True, capture_output=True, text=True).stdout
        )
    if locks[0] != locks[1]:
        sys.exit("the two rebuilds differ")
    print("both rebuilds give the same dvc.lock")


if __name__ == "__main__":
    main()
