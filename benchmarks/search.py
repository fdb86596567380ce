"""Time of a search on scikit-learn's digits, beside as many plain `dvc exp run`.

The same settings run three times, each in a copy of the project with a cache of its own, and with
MLflow: by a search with one job, by a search with two jobs, and by one `dvc exp run` after the
other. A search also runs the start and, on test images, the best trial; so do the plain runs.
Printed are the seconds, the ratios, and how often each stage ran.
"""

import json
import os
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import seconds
from benchmarks.project import Project
from seedlings.config import params, pipeline, yaml_files

_SPACE: dict[str, Any] = {
    "objective": "validation/accuracy",
    "direction": "maximize",
    "sampler": "random",
    "seed": 1,
    "parameters": {
        "finetune.optimizer.learning_rate": {"range": [1.0e-4, 1.0e-1], "log": True},
        "finetune.convnet.filters": {"choices": [[6, 12], [16, 32]]},
        "finetune.batch_size": {"choices": [16, 32, 64]},
    },
}
# Stages that are quick beside what a search adds to them.
_QUICK = ("finetune.epochs=4", "explain.steps=2", "explain.classes=2", "explain.images=1")
_SHIM = """#!/bin/sh
echo "$*" >> {log}
exec {python} "$@"
"""


def main(*, small: bool) -> None:
    preset, trials = ("digits", *_QUICK), 1 if small else 8
    with tempfile.TemporaryDirectory() as folder:
        took, ran = {}, {}
        for jobs in (1,) if small else (1, 2):
            project = _project(Path(folder) / f"jobs-{jobs}", preset)
            name = f"search, jobs: {jobs}"
            took[name] = seconds(partial(_search, project, trials, jobs))
            ran[name] = _ran(project)
            if jobs == 1:
                settings = _settings(project)
        project = _project(Path(folder) / "plain", preset)
        took["dvc exp run"] = seconds(partial(_run_plainly, project, settings))
        ran["dvc exp run"] = _ran(project)
    for name, time in took.items():
        counts = ", ".join(f"{stage} {ran[name][stage]}" for stage in pipeline.read().stages)
        ratio = time / took["dvc exp run"]
        print(f"{name:<15} {time:7.1f} s, {ratio:.2f} of dvc exp run; ran: {counts}")


def _search(project: Project, trials: int, jobs: int) -> None:
    numbers = ("--trials", str(trials), "--jobs", str(jobs), "--name", "timed")
    project.run("seedlings", "search", "space.yaml", *numbers)


def _run_plainly(project: Project, settings: list[dict[str, Any]]) -> None:
    """Run an experiment for each of some settings."""
    for number, values in enumerate(settings):
        changes = [f"--set-param={key}={json.dumps(value)}" for key, value in values.items()]
        project.run("dvc", "exp", "run", "--name", f"plain-{number}", *changes)


def _project(root: Path, preset: tuple[str, ...]) -> Project:
    """Make a copy of the project whose `python` writes down what it runs."""
    programs = root.with_name(f"{root.name}.bin")
    programs.mkdir()
    root.mkdir()
    project = Project(root, preset, tracking="on")
    (root / "space.yaml").write_text(yaml.safe_dump(_SPACE), encoding="utf-8")
    project.commit("A space")
    shim = programs / "python"
    shim.write_text(_SHIM.format(log=_log(root), python=sys.executable), encoding="utf-8")
    shim.chmod(0o755)
    project.env["PATH"] = f"{programs}{os.pathsep}{project.env['PATH']}"
    return project


def _settings(project: Project) -> list[dict[str, Any]]:
    """Return the settings of a search: those of the start, of the trials, and of the best."""
    listed = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    refs = {ref.rpartition("/")[2]: ref for ref in listed}
    found = {}
    for name in sorted(refs):
        text = project.run("git", "show", f"{refs[name]}:params.yaml")
        known = params.flatten(yaml_files.parse(text))
        found[name] = {key: known[key] for key in (*_SPACE["parameters"], "evaluate.split")}
    start, best = found.pop("timed-start"), found.pop("timed-best")
    return [start, *found.values(), best]


def _ran(project: Project) -> Counter[str]:
    lines = _log(project.root).read_text(encoding="utf-8").splitlines()
    return Counter(line.split()[2] for line in lines if line.startswith("-m seedlings.run "))


def _log(root: Path) -> Path:
    return root.with_name(f"{root.name}.log")
