"""Time that is not the work of a stage: a no-op, MLflow, and the start of stages."""

import ctypes
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from benchmarks.measure import Times, at_most, in_turns, self_timed
from benchmarks.project import SMALL, Project, environment
from seedlings.config import pipeline

_STAGES = ("one", "two", "three")
_EMPTY = {
    "stages": {
        name: {"cmd": f"echo {name} > {name}.txt", "deps": [before], "outs": [f"{name}.txt"]}
        for before, name in zip(("start.txt", "one.txt", "two.txt"), _STAGES, strict=True)
    }
}
_WITHOUT_KERAS = ("download", "split", "segment", "report")
_MARK = "first-line:"
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of Linux's prctl
_NOW = f"import time; print('{_MARK}', time.monotonic(), flush=True)"  # one clock for all
_STOP = f"    {_NOW}; raise SystemExit\n"  # the new first line of each `main`


def main(*, small: bool) -> None:
    rounds, stages = (1, ("download", "split")) if small else (5, tuple(pipeline.read().stages))
    with tempfile.TemporaryDirectory() as name:
        empty = Path(name) / "empty"
        _make_empty(empty)
        project = Project(Path(name) / "project", SMALL, tracking="on")
        reproduce = ("dvc", "repro", *stages)
        project.run(*reproduce)
        times = in_turns(
            {
                "here": lambda: project.run(*reproduce),
                "dvc": partial(_run, "dvc", "repro", folder=empty),
            },
            rounds,
        )
        ours, other = np.median(times["here"]), np.median(times["dvc"])
        print(f"no-op: {ours:.2f} s here, {other:.2f} s on an empty pipeline of three stages")
        at_most("no-op, more than DVC's own", float(ours - other), 0.5, "s")
        _report_tracking(project, rounds)
        print("from the start of the process of a stage to the first line of its main:")
        for tracking in ("off", "on"):
            _report(starts(project, stages, tracking, rounds), tracking)


def _run(*command: str, folder: Path) -> None:
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)


def _make_empty(folder: Path) -> None:
    """Make a project of three stages that do nothing, and reproduce it."""
    folder.mkdir()
    (folder / "start.txt").write_text("start", encoding="utf-8")
    (folder / "dvc.yaml").write_text(yaml.safe_dump(_EMPTY), encoding="utf-8")
    _run("git", "init", "-q", folder=folder)
    _run("dvc", "init", "-q", folder=folder)
    _run("dvc", "repro", folder=folder)


def _report_tracking(project: Project, rounds: int) -> None:
    """Print what MLflow costs two stages, with the run logger that they start."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)  # to count the run logger, which stays
    costs = {setting: [_cost(project, setting) for _ in range(rounds)] for setting in ("off", "on")}
    off, on = (np.median(costs[setting], axis=0) for setting in ("off", "on"))
    print(f"two stages: {off[0]:.2f} s, with MLflow {on[0]:.2f} s", flush=True)
    at_most("MLflow, more time of two stages", float(on[0] - off[0]), 0.5, "s")
    at_most("MLflow, more processor time of two stages", float(on[1] - off[1]), 5, "s")


def _cost(project: Project, tracking: str) -> tuple[float, float]:
    """Return the seconds, and those of processor time, of two stages with all their processes."""
    project.env["SEEDLINGS_TRACKING"] = tracking
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    for stage in ("download", "split"):
        project.run("python", "-m", "seedlings.run", stage)
    wall = time.monotonic() - start
    while _ended():
        pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _ended() -> bool:
    """Wait for the end of a process, and return whether there was one."""
    try:
        os.wait()
    except ChildProcessError:
        return False
    return True


def starts(project: Project, stages: Iterable[str], tracking: str, rounds: int) -> Times:
    """Return the seconds until each stage's first line, and those of a bare `import keras`."""
    project.env |= {"SEEDLINGS_TRACKING": tracking, "KERAS_BACKEND": "tensorflow"}
    actions: dict[str, Callable[[], float]] = {
        "import keras": partial(_first_line, project, "python", "-c", f"import keras; {_NOW}")
    }
    for stage in stages:
        _stop_at_first_line(project.root / "stages" / f"{stage}.py")
        actions[stage] = partial(_first_line, project, "python", "-m", "seedlings.run", stage)
    return self_timed(actions, rounds)  # the median leaves out the first, which compiles modules


def _stop_at_first_line(script: Path) -> None:
    """Change the script of a stage so that its `main` prints the time and ends."""
    text = script.read_text(encoding="utf-8")
    if _STOP not in text:
        start = text.index("def main(")
        end = text.index(" -> None:\n", start) + len(" -> None:\n")
        script.write_text(text[:end] + _STOP + text[end:], encoding="utf-8")


def _first_line(project: Project, *command: str) -> float:
    start = time.monotonic()
    words = project.run(*command).split()
    return float(words[words.index(_MARK) + 1]) - start


def _report(times: Times, tracking: str) -> None:
    print(f"MLflow {tracking}; import keras: {np.median(times['import keras']):.2f} s")
    for stage in list(times)[1:]:
        if stage in _WITHOUT_KERAS:
            at_most(f"  {stage}", float(np.median(times[stage])), 2, "s")
        else:
            ratio = float(np.median(times[stage] / times["import keras"]))
            at_most(f"  {stage} / import keras", ratio, 1.2, "times")
