"""Time that is not the work of a stage: a `dvc repro` without changes, and stages on few images."""

import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import yaml

from benchmarks.measure import limit, seconds
from benchmarks.project import SMALL, Project, environment

_EMPTY = {
    "stages": {
        name: {"cmd": f"echo {name} > {name}.txt", "deps": [before], "outs": [f"{name}.txt"]}
        for before, name in (("start.txt", "one"), ("one.txt", "two"), ("two.txt", "three"))
    }
}
_WITHOUT_KERAS = ("download", "split", "segment")


def run(*command: str, folder: Path) -> None:
    """Run a command in a folder, without its output."""
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)


def no_op(folder: Path) -> float:
    """Return the seconds of a `dvc repro` without changes."""
    return seconds(lambda: run("dvc", "repro", folder=folder), 5)


def empty_pipeline(folder: Path) -> None:
    """Make a project of three stages that do nothing, and reproduce it."""
    folder.mkdir()
    (folder / "start.txt").write_text("start", encoding="utf-8")
    (folder / "dvc.yaml").write_text(yaml.safe_dump(_EMPTY), encoding="utf-8")
    run("git", "init", "-q", folder=folder)
    run("dvc", "init", "-q", folder=folder)
    run("dvc", "repro", folder=folder)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        empty = Path(name) / "empty"
        empty_pipeline(empty)
        project = Project(Path(name) / "project", SMALL, tracking="on")
        project.repro()
        ours, other = no_op(project.root), no_op(empty)
        print(f"no-op: {ours:.2f} s here, {other:.2f} s on an empty three-stage pipeline")
        limit("no-op, more than DVC's own", ours - other, 0.5, "s")
        for stage in _WITHOUT_KERAS:
            for tracking in ("off", "on"):
                project.env["SEEDLINGS_TRACKING"] = tracking
                took = seconds(partial(whole, stage, project), 3)
                what = f"{stage} on 240 small images, MLflow {tracking}"
                limit(what, took, 3, "s")


def whole(stage: str, project: Project) -> None:
    """Run a stage without DVC, from its start to the end of its process."""
    shutil.rmtree(project.root / "reports" / stage)
    project.run("python", "-m", "seedlings.run", stage)


if __name__ == "__main__":
    main()
