"""A copy of the project in which a test runs commands."""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import preloaded
import yaml

from seedlings.processor import SETTINGS

STAGES = [
    "download",
    "split",
    "segment",
    "extract",
    "baseline",
    "finetune",
    "package",
    "evaluate",
    "explain",
    "report",
]
OF_THE_DEVELOPER = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_EXP_NAME")


class Project:
    """A copy of the project with parameters of its own, in which `dvc` runs.

    Its processes are forked from an interpreter with the large libraries in it, as preloaded.py has
    it, unless a test that is about processes sets `preloaded` to False. Stages are logged in MLflow
    where `tracking` is set to True.
    """

    first_output = ""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = dict(os.environ)
        for name in (*OF_THE_DEVELOPER, *SETTINGS):  # a stage sets these itself
            self.env.pop(name, None)
        self.preloaded = True
        self.tracking = False

    @property
    def preloaded(self) -> bool:
        """Whether `python`, `dvc` and `seedlings` are forks of a server, or ordinary processes."""
        return self._preloaded

    @preloaded.setter
    def preloaded(self, value: bool) -> None:
        self._preloaded = value
        folders = [preloaded.shims() if value else None, Path(sys.executable).parent]
        self.env["PATH"] = ":".join([*map(str, filter(None, folders)), os.environ["PATH"]])

    @property
    def tracking(self) -> bool:
        """Whether stages are logged in MLflow while they run."""
        return self.env["SEEDLINGS_TRACKING"] == "on"

    @tracking.setter
    def tracking(self, value: bool) -> None:
        self.env["SEEDLINGS_TRACKING"] = "on" if value else "off"

    def set(self, **changes: Any) -> None:
        """Change parameters in params.yaml; `finetune__epochs=3` is finetune.epochs."""
        path = self.root / "params.yaml"
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        for key, value in changes.items():
            *sections, last = key.split("__")
            branch = values
            for section in sections:
                branch = branch.setdefault(section, {})
            branch[last] = value
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")

    def run(self, *command: str, fails: bool | None = False) -> str:
        """Run a command in the project; returns what it printed.

        Asserts how it ended, unless `fails` is None.
        """
        # A file and not a pipe, which the workers of DVC's queue would hold open.
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            done = subprocess.run(
                command, cwd=self.root, env=self.env, stdout=output, stderr=output, check=False
            )
            output.seek(0)
            printed = output.read()
        assert fails is None or (done.returncode != 0) == fails, printed
        return printed

    def shrink(self, **changes: Any) -> None:
        """Parameters that make every stage quick, and these changes, committed."""
        quick = {
            "data__sample__images_per_class": 20,
            "data__sample__side": 64,
            "split__validation_per_class": 3,
            "segment__pixels": [48, 48],
            "baseline__epochs": 2,
            "finetune__epochs": 3,
            "evaluate__bootstrap_samples": 200,
            "explain__steps": 3,
            "explain__classes": 2,
            "explain__images": 2,
            "explain__smoothgrad_samples": 2,
            "extract__backbone": "MobileNet",
            "extract__cut": "conv_pw_13_relu",
            "extract__width": 1.0,
            "extract__weights": "random",
        }
        self.set(**{**quick, **changes})
        self.commit("Quick parameters")

    def commit(self, message: str) -> None:
        """Commit all that Git tracks or could."""
        self.run("git", "add", "--all")
        author = ["-c", "user.name=Test", "-c", "user.email=t@example.org"]
        self.run("git", *author, "commit", "--quiet", "--message", message)

    def wait_for_queue(self) -> None:
        """Wait until DVC's queue has run dry."""
        while re.search("Running|Queued", self.run("dvc", "queue", "status")):
            time.sleep(0.5)

    def repro(self, *arguments: str, fails: bool = False) -> str:
        return self.run("dvc", "repro", *arguments, fails=fails)

    def ran(self, output: str) -> list[str]:
        """The stages that a `dvc repro` ran, read from its output."""
        marker = "Running stage '"
        lines = [line for line in output.splitlines() if line.startswith(marker)]
        return [line.removeprefix(marker).removesuffix("':") for line in lines]
