"""Repeats in a project: what other seeds change, and what a killed command leaves."""

import re
from collections.abc import Callable

import pytest
from project import Project

from seedlings.config import pipeline

pytestmark = pytest.mark.slow

ROWS = re.compile(r"(segment|extract): \d+ of (\d+) rows are reused from the cache, (\d+) are")


def outputs(project: Project) -> dict[str, str]:
    """DVC's hashes of the split table and the model, which have no parameters inside."""
    locked = pipeline.parse_stages((project.root / "dvc.lock").read_text(encoding="utf-8"))
    found = {out["path"]: out["md5"] for stage in locked.values() for out in stage["outs"]}
    return {path: found[path] for path in ("data/split.csv", "models/finetuned")}


def test_other_seeds_change_split_and_training_alone_and_compute_no_row(
    reproduced: Callable[[], Project],
) -> None:
    project = reproduced()
    before = outputs(project)
    project.set(split__seed=1)
    output = project.repro("finetune")
    assert project.ran(output) == ["split", "segment", "finetune"]
    assert ROWS.findall(output) == [("segment", "240", "0")]
    of_split = outputs(project)
    project.set(finetune__seed=1)
    assert project.ran(project.repro("finetune")) == ["finetune"]
    of_both = outputs(project)
    assert of_both["data/split.csv"] == of_split["data/split.csv"] != before["data/split.csv"]
    assert len({found["models/finetuned"] for found in (before, of_split, of_both)}) == 3

    project.set(split__seed=42, finetune__seed=42)  # the common seed
    project.repro("finetune")
    assert outputs(project) == before
