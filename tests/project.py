"""A copy of the project in which a test runs commands."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import in_process
import yaml
from imports import ROOT

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
    """A copy of the project with parameters of its own, in which `dvc` and `seedlings` run.

    They run in this process (in_process.py), unless `in_process` is set to False. Stages are
    logged in MLflow where `tracking` is set to True.
    """

    first_output = ""
    in_process = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = dict(os.environ)
        for name in (*OF_THE_DEVELOPER, *SETTINGS):  # a stage sets these itself
            self.env.pop(name, None)
        self.env["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        # No process that reports each command, and no other streams while JSON is printed.
        self.env["DVC_TEST"] = "true"
        self.tracking = False

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
        if self.in_process and in_process.is_for_this_process(command):
            code, printed = in_process.run(command, self.root, self.env)
        else:
            # A file and not a pipe, which the workers of DVC's queue would hold open.
            with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
                done = subprocess.run(
                    command, cwd=self.root, env=self.env, stdout=output, stderr=output, check=False
                )
                output.seek(0)
                code, printed = done.returncode, output.read()
        assert fails is None or (code != 0) == fails, printed
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
            "extract__cut": "block3_pool",
            "extract__layers": ["block2_pool", "block3_pool"],
            "extract__width": 0.0625,
            "extract__weights": "random",
        }
        self.set(**{**quick, **changes})
        self.commit("Quick parameters")

    def fake_stages(self, **changes: Any) -> None:
        """Let each stage write small files (fake_stage.py), and commit that with these changes."""
        for stage in STAGES:
            shutil.copyfile(ROOT / "tests" / "fake_stage.py", self.root / "stages" / f"{stage}.py")
        if changes:
            self.set(**changes)
        self.commit("Stages that write small files")

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

    def run_stages(self, *targets: str) -> None:
        """Run the stages that some stages need, and these, without DVC."""
        stages = yaml.safe_load((self.root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        wanted = set(targets)
        for name in reversed(STAGES):
            needed = {dep for other in wanted for dep in stages[other]["deps"]}
            if needed & set(stages[name]["outs"]):
                wanted.add(name)
        for name in filter(wanted.__contains__, STAGES):
            self.run("python", "-m", "seedlings.run", name)

    def ran(self, output: str) -> list[str]:
        """The stages that a `dvc repro` ran, read from its output."""
        marker = "Running stage '"
        lines = [line for line in output.splitlines() if line.startswith(marker)]
        return [line.removeprefix(marker).removesuffix("':") for line in lines]
