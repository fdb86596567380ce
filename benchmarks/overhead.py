"""What the surroundings cost: a no-op `dvc repro`, and stages beyond their own work."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.measure import ROOT, seconds

_EMPTY = {
    "stages": {
        name: {"cmd": f"echo {name} > {name}.txt", "deps": [before], "outs": [f"{name}.txt"]}
        for before, name in (("start.txt", "one"), ("one.txt", "two"), ("two.txt", "three"))
    }
}
_QUICK = {"sample": {"images_per_class": 20, "size": 64}}
_NEED_NO_TENSORFLOW = ("download", "split", "segment")


def run(*command: str, folder: Path) -> None:
    """Run a command in a folder, in silence."""
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def no_op(folder: Path) -> float:
    """The seconds of a `dvc repro` that has nothing to do."""
    run("dvc", "repro", folder=folder)
    return seconds(lambda: run("dvc", "repro", folder=folder), 5)


def judge(what: str, cost: float, limit: float) -> None:
    """Print a cost beside its limit."""
    verdict = "reached" if cost <= limit else "NOT reached"
    print(f"{what}: {cost:.2f} s (goal: at most {limit:g} s, {verdict})", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        empty, project = Path(name) / "empty", Path(name) / "project"
        empty.mkdir()
        (empty / "start.txt").write_text("start", encoding="utf-8")
        (empty / "dvc.yaml").write_text(yaml.safe_dump(_EMPTY), encoding="utf-8")
        run("git", "init", "-q", folder=empty)
        run("dvc", "init", "-q", folder=empty)
        run("git", "clone", "-q", str(ROOT), str(project), folder=ROOT)
        tree = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
        tree["data"] |= _QUICK
        tree["split"]["validation_per_class"] = 3
        tree["segment"]["size"] = [48, 48]
        (project / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
        ours, bare = no_op(project), no_op(empty)
        print(f"no-op: {ours:.2f} s here, {bare:.2f} s on an empty three-stage pipeline")
        judge("no-op beyond DVC's own", ours - bare, 0.5)
        for stage in _NEED_NO_TENSORFLOW:
            # A stage on next to no images does next to nothing but start, record and end.
            shutil.rmtree(project / "reports" / stage)
            if stage == "download":
                shutil.rmtree(project / "data" / "raw")
            command = (sys.executable, "-m", f"stages.{stage}")
            judge(
                f"{stage} on 240 small images",
                seconds(lambda c=command: run(*c, folder=project), 3),
                3,
            )


if __name__ == "__main__":
    main()
