"""Corrections of labels: which stages run, that no row is computed again, and the reports."""

import re
from collections.abc import Callable

import pandas as pd
import pytest
from project import Project

from seedlings.config import paths, records
from seedlings.data import corrections
from seedlings.data.corrections import Decision
from seedlings.io import split_table

pytestmark = pytest.mark.slow

ROWS = re.compile(r"(segment|extract): \d+ of (\d+) rows are reused from the cache, (\d+) are")


def decide(project: Project, *decisions: tuple[int, str]) -> None:
    """Write decisions: the row in the split table, and the new label."""
    table = split_table.read(project.root / paths.SPLIT)
    lines = []
    for row, new in decisions:
        image = table.iloc[row]
        lines.append(Decision(image["digest"], image["path"], image["original"], new, "Ann"))
    corrections.write(project.root / paths.CORRECTIONS, lines)


def test_only_what_depends_on_a_correction_runs_and_no_row_is_computed(
    reproduced: Callable[[], Project],
) -> None:
    project = reproduced()
    before = split_table.read(project.root / paths.SPLIT)
    test, train = (split_table.rows(before, name) for name in ("test", "train"))
    labels = before["label"].tolist()
    other = next(label for label in labels if label not in (labels[test[0]], labels[train[1]]))
    decisions = [(test[0], other), (test[1], "drop"), (train[0], "drop"), (train[1], other)]
    decide(project, *decisions)
    output = project.repro()
    ran = ["split", "segment", "baseline", "finetune", "package", "evaluate", "explain", "report"]
    assert project.ran(output) == ran
    assert ROWS.findall(output) == [("segment", str(len(before)), "0")]
    after = split_table.read(project.root / paths.SPLIT)
    kept = ["path", "split", "group", "digest", "original"]
    pd.testing.assert_frame_equal(after[kept], before[kept])
    assert (after["label"] != before["label"]).sum() == 4
    record = records.read(project.root / paths.record("evaluate"))
    assert record.metrics["images"] == len(test) - 1
    assert record.metrics["original_labels/images"] == len(test)
    assert (record.metrics["corrected_labels"], record.metrics["dropped_images"]) == (1, 1)
    page = (project.root / paths.PAGE).read_text(encoding="utf-8")
    assert (
        page.count("1 label of test images was corrected and 1 test image dropped") == 3
    )  # with the card

    path = project.root / paths.report("evaluate") / "doubtful_labels.csv"
    listed = pd.read_csv(path, dtype=str, keep_default_na=False)
    right = int(after.index[after["path"] == listed["path"].iloc[0]][0])
    decide(project, *decisions, (right, after["original"].iloc[right]))
    output = project.repro()
    assert project.ran(output) == ["split", "evaluate", "report"]  # a label that is right
    again = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert again["path"].tolist() == listed["path"].tolist()[1:]

    decide(project)
    assert project.ran(project.repro()) == []  # DVC's run cache has the first results
    assert split_table.read(project.root / paths.SPLIT).equals(before)
