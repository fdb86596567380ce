"""The page, written from the records of a pipeline without figures."""

import re
from pathlib import Path
from typing import Any

import pytest

from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.report import page
from seedlings.report.params import Report

METRICS = {
    "finetuned/accuracy": 0.75,
    "baseline/accuracy": 0.25,
    "wilcoxon/p_value": 0.5,
    "images": 8.0,
}
CROSSING = {f"without_crossing/{name}": value for name, value in METRICS.items()}


@pytest.mark.parametrize(
    ("params", "sentences"),
    [
        (
            {"evaluate.on": "test", "task": "multiclass"},
            [
                "On 8 test images that no model was trained on. Wilcoxon signed-rank test of the "
                "two models: p = 0.5.",
                "Without duplicates of training or validation images",
                "8 test images have no (near) duplicate in training or validation. Wilcoxon "
                "signed-rank test of the two models: p = 0.5.",
            ],
        ),
        (
            {"evaluate.on": "validation", "task": "multiclass"},
            [
                "On 8 validation images that no model was trained on. Wilcoxon signed-rank test of "
                "the two models: p = 0.5. Validation images are also used for early stopping and "
                "calibration, so these metrics tend to be better than those on test images.",
                "Without duplicates of training or test images",
                "8 validation images have no (near) duplicate in training or test. Wilcoxon "
                "signed-rank test of the two models: p = 0.5.",
            ],
        ),
    ],
)
def test_the_page_names_the_split_that_is_evaluated(
    params: dict[str, Any],
    sentences: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    details = {"counts": {"a": {"train": 1}}, "absent": ["b: no image in test"]}
    results = {
        "split": Record("split", details=details),
        "finetune": Record("finetune", metrics={"weights": 2.0, "trainable_weights": 1.0}),
        "evaluate": Record("evaluate", params=params, metrics=METRICS | CROSSING),
    }
    for stage in page.STAGES:
        results.get(stage, Record(stage)).write(paths.record(stage))
    report = paths.report("evaluate")
    (report / "finetuned_classes.csv").write_text("label,f1\nb,\na,0.5\n", encoding="utf-8")
    (report / "confusion.csv").write_text("label,finetuned\na,a\n", encoding="utf-8")
    page.write(Path("index.html"), Report(title="A page"))
    text = Path("index.html").read_text(encoding="utf-8")
    assert re.findall(r"<(?:p|h3)>(On .*|Without .*|8 .*)</(?:p|h3)>", text) == sentences
    assert "<ul><li>b: no image in test</li></ul>" in text
    assert text.count('<span class="quiet">no interval</span>') == 2  # of both models
    assert re.findall(r"<tr><td>(.)</td><td>(.*?)</td></tr>\n", text)[-2:] == [
        ("a", "0.500"),
        ("b", ""),
    ]
