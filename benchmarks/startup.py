"""Seconds from the start of a stage's process to the first line of its `main`.

Each is measured beside a bare `import keras` and a bare Python, in turns, so that other load on the
machine meets all of them.
"""

import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.measure import limit
from benchmarks.project import SMALL, Project

_ROUNDS = 3
_WITHOUT_KERAS = ("download", "split", "segment", "report")
_MARK = "first-line:"
_NOW = f"import time; print('{_MARK}', time.monotonic(), flush=True)"  # one clock for all
_STOP = f"    {_NOW}; raise SystemExit\n"  # the new first line of each `main`
_BARE = {"python": _NOW, "import keras": f"import keras; {_NOW}"}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder) / "project", SMALL)
        stages = project.repro()
        for stage in stages:
            _stop_at_first_line(project.root / "stages" / f"{stage}.py")
        for tracking in ("off", "on"):
            project.env |= {"SEEDLINGS_TRACKING": tracking, "KERAS_BACKEND": "tensorflow"}
            print(f"MLflow {tracking}")
            _report(_measure(stages, project), stages)


def _stop_at_first_line(script: Path) -> None:
    """Change the script of a stage so that its `main` prints the time and ends."""
    text = script.read_text(encoding="utf-8")
    start = text.index("def main(")
    end = text.index(" -> None:\n", start) + len(" -> None:\n")
    script.write_text(text[:end] + _STOP + text[end:], encoding="utf-8")


def _measure(stages: list[str], project: Project) -> dict[str, float]:
    """Return the shortest seconds of each stage and of each bare process."""
    commands: dict[str, tuple[str, ...]] = {
        name: ("python", "-c", code) for name, code in _BARE.items()
    }
    commands |= {stage: ("python", "-m", "seedlings.run", stage) for stage in stages}
    times = defaultdict(list)
    for turn in range(_ROUNDS + 1):
        for name, command in commands.items():
            start = time.monotonic()
            words = project.run(*command).split()
            if turn:  # the first one compiles what is not compiled yet
                times[name].append(float(words[words.index(_MARK) + 1]) - start)
    return {name: min(values) for name, values in times.items()}


def _report(found: dict[str, float], stages: list[str]) -> None:
    """Print the seconds of each process beside the goal."""
    keras = found["import keras"]
    for name in _BARE:
        print(f"  {name}: {found[name]:.2f} s", flush=True)
    for stage in stages:
        if stage in _WITHOUT_KERAS:
            limit(f"  {stage}", found[stage], 2, "s")
        else:
            what = f"  {stage} {found[stage]:.2f} s / import keras"
            limit(what, found[stage] / keras, 1.2, "times")


if __name__ == "__main__":
    main()
