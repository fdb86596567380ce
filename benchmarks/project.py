"""A copy of the project in a folder, in which benchmarks run the pipeline."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import ROOT
from seedlings import presets

# The sample with a small network, so that every stage takes a few seconds.
SMALL = (
    "sample",
    "data.sample.images_per_class=20",
    "data.sample.side=64",
    "split.validation_per_class=3",
    "segment.pixels=[48,48]",
    "baseline.epochs=2",
    "finetune.epochs=3",
    "evaluate.bootstrap_samples=200",
    "explain.steps=3",
    "explain.classes=2",
    "explain.images=2",
    "explain.smoothgrad_samples=2",
)
_OF_THE_DEVELOPER = (
    *("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_EXP_NAME"),
    "PYTHONDONTWRITEBYTECODE",  # without compiled files every process is seconds slower
)


class Project:
    """A copy of the working tree without results, with the parameters of a preset.

    Git commits it. Stages are logged in MLflow if `tracking` is `on`.
    """

    def __init__(self, root: Path, preset: tuple[str, ...], *, tracking: str = "off") -> None:
        self.root = root
        self.env = environment() | {"SEEDLINGS_TRACKING": tracking}
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if name != "dvc.lock" and (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, root / name)
        self.set(preset)
        self.run("git", "init", "--quiet")
        self.commit("A copy")

    def set(self, preset: tuple[str, ...]) -> Mapping[str, Any]:
        """Write the parameters of a preset, with changes, and return them."""
        values = presets.compose(preset)
        text = yaml.safe_dump(values, sort_keys=False)
        (self.root / "params.yaml").write_text(text, encoding="utf-8")
        return values

    def run(self, *command: str) -> str:
        """Run a command in the project; return what it prints.

        Exits with that text if the command fails.
        """
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")
        return done.stdout

    def commit(self, message: str) -> None:
        """Commit all files that Git does not ignore."""
        self.run("git", "add", "--all")
        author = ("-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.org")
        self.run("git", *author, "commit", "--quiet", "--message", message)


def environment() -> dict[str, str]:
    """Return the environment of a process that uses the same Python, and no setting of the user."""
    env = {name: value for name, value in os.environ.items() if name not in _OF_THE_DEVELOPER}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    env["PYTHONPATH"] = str(ROOT)
    return env
