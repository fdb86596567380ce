"""Which stages `dvc repro` runs after a change of one file, in a small copy of the project.

Each change leaves the bytes of all outputs equal, except the new key of explain, which is in the
record of that stage.
"""

import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import seconds
from benchmarks.project import SMALL, Project

TRAINING = ("extract", "baseline", "finetune")  # the stages that take long


@dataclass(frozen=True, slots=True)
class Change:
    """A change of some files, and the stages that must not run after it."""

    name: str
    edits: Mapping[str, Callable[[str], str]]
    unaffected: tuple[str, ...]


def _with_comment(text: str) -> str:
    return text + "# A new comment.\n"


def _with_template_comment(text: str) -> str:
    return text + "{#- A new comment. #}\n"


def _with_longer_docstring(text: str) -> str:
    return text.replace('"""', '"""A new word. ', 1)


def _with_field(text: str) -> str:
    return re.sub(r"(?m)^class Explain\(Section\):\n", r"\g<0>    new_key: int\n", text)


def _with_key(text: str) -> str:
    return re.sub(r"(?m)^explain:.*\n", r"\g<0>  new_key: 1\n", text)


def changes(stages: tuple[str, ...]) -> list[Change]:
    """Return the changes of which the table has a row each."""
    comment, key = _with_comment, _with_key
    explain = {"seedlings/explain/params.py": _with_field, "conf/base.yaml": key}
    return [
        *(
            Change(name, {name: comment}, unaffected)
            for name, unaffected in (
                ("seedlings/tracking/client.py", stages),
                ("seedlings/plots/charts.py", TRAINING),
                ("seedlings/data/archives.py", TRAINING),
                ("seedlings/images.py", TRAINING),
                ("seedlings/segmentation/masks.py", TRAINING),
                ("seedlings/evaluation/metrics.py", TRAINING),
            )
        ),
        Change(
            "seedlings/report/templates/report.html",
            {"seedlings/report/templates/report.html": _with_template_comment},
            TRAINING,
        ),
        Change("a new key of the section explain", {**explain, "params.yaml": key}, TRAINING),
        Change(
            "seedlings/networks/architectures.py (docstring)",
            {"seedlings/networks/architectures.py": _with_longer_docstring},
            (),
        ),
        Change("requirements.lock", {"requirements.lock": comment}, ()),
        Change("requirements-test.lock", {"requirements-test.lock": comment}, stages),
    ]


def main() -> None:
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder) / "project", SMALL)
        stages: list[str] = []
        print(f"first dvc repro: {seconds(lambda: stages.extend(project.repro())):.0f} s")
        project.commit("The results")
        if again := project.repro():
            sys.exit(f"expected no stage to run without a change, found {', '.join(again)}")
        print(f"{'changed':<50} {'verdict':<9} stages that ran", flush=True)
        for change in changes(tuple(stages)):
            ran = _stages_after(change, project)
            wrong = [stage for stage in ran if stage in change.unaffected]
            verdict = "-" if not change.unaffected else "NOT met" if wrong else "met"
            failed |= bool(wrong)
            shown = "all" if ran == stages else ", ".join(ran) or "none"
            print(f"{change.name:<50} {verdict:<9} {shown}", flush=True)
    if failed:
        sys.exit("expected no stage to run that does not depend on the changed file")


def _stages_after(change: Change, project: Project) -> list[str]:
    """Return the stages that run after a change, and restore the project."""
    for name, edit in change.edits.items():
        path = project.root / name
        before = path.read_text(encoding="utf-8")
        after = edit(before)
        if after == before:
            sys.exit(f"expected a place for the change in {name}, found none")
        path.write_text(after, encoding="utf-8")
    ran = project.repro()
    project.restore()
    return ran


if __name__ == "__main__":
    main()
