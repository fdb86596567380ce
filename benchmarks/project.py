"""A copy of the project in a temporary folder, in which benchmarks run the pipeline."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import ROOT

# Parameters with which every stage takes a few seconds.
SMALL: dict[str, Any] = {
    "data": {"sample": {"images_per_class": 20, "side": 64}},
    "split": {"validation_per_class": 3},
    "segment": {"pixels": [48, 48]},
    "extract": {
        "backbone": "MobileNet",
        "cut": "conv_pw_13_relu",
        "width": 1.0,
        "weights": "random",
    },
    "baseline": {"epochs": 2},
    "finetune": {"epochs": 3},
    "evaluate": {"bootstrap_samples": 200},
    "explain": {"steps": 3, "classes": 2, "images": 2, "smoothgrad_samples": 2},
}

_OF_THE_DEVELOPER = (
    *("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_EXP_NAME"),
    "PYTHONDONTWRITEBYTECODE",  # without compiled files every process is seconds slower
)
_RUNNING = "Running stage '"


class Project:
    """A copy of the working tree without results, with parameters of its own, in a new folder.

    Git commits it. Stages are logged in MLflow where `tracking` is `on`.
    """

    def __init__(self, root: Path, params: Mapping[str, Any], *, tracking: str = "off") -> None:
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
        path = root / "params.yaml"
        values = _merged(yaml.safe_load(path.read_text(encoding="utf-8")), params)
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        self.run("git", "init", "--quiet")
        self.commit("A copy")

    def run(self, *command: str) -> str:
        """Run a command in the project; return what it prints.

        Exits with that text where the command fails.
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

    def repro(self) -> list[str]:
        """Run `dvc repro`; return the stages that ran."""
        lines = self.run("dvc", "repro").splitlines()
        ran = [line.removeprefix(_RUNNING) for line in lines if line.startswith(_RUNNING)]
        return [line.removesuffix("':") for line in ran]

    def commit(self, message: str) -> None:
        """Commit all files that Git does not ignore."""
        self.run("git", "add", "--all")
        author = ("-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.org")
        self.run("git", *author, "commit", "--quiet", "--message", message)

    def restore(self) -> None:
        """Restore the files and the outputs of the last commit."""
        self.run("git", "checkout", "--quiet", "--", ".")
        self.run("dvc", "checkout", "--quiet")


def environment() -> dict[str, str]:
    """Return the environment of a process that uses the same Python, and no setting of the user."""
    env = {name: value for name, value in os.environ.items() if name not in _OF_THE_DEVELOPER}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    return env


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree with the changes of another, section by section."""
    merged = dict(values)
    for key, value in changes.items():
        inner = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if inner else value
    return merged
