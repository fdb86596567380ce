"""The page, written from the records of a pipeline without figures."""

import re
from pathlib import Path

import pytest

from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.report import notes, page
from seedlings.report.params import Report

METRICS = {
    "finetuned/accuracy": 0.75,
    "baseline/accuracy": 0.25,
    "wilcoxon/p_value": 0.5,
    "images": 8.0,
}
CROSSING = {f"without_crossing/{name}": value for name, value in METRICS.items()}
CORRECTED = {f"original_labels/{name}": value for name, value in METRICS.items()}
CORRECTED |= {"corrected_labels": 2.0, "dropped_images": 1.0}


@pytest.mark.parametrize(
    ("split", "others", "note"),
    [
        ("test", "training or validation", ""),
        (
            "validation",
            "training or test",
            " Validation images are also used for early stopping and calibration, so these metrics "
            "tend to be better than those on test images.",
        ),
    ],
)
def test_the_page_names_the_split_that_is_evaluated(
    split: str, others: str, note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    details = {"counts": {"a": {"train": 1}}, "absent": ["b: no image in test"]}
    details |= {"skipped": ["<b>.png: no image"]}
    params = {"evaluate.split": split, "task": "multiclass"}
    results = {
        "split": Record("split", details=details),
        "finetune": Record("finetune", metrics={"weights": 2.0, "trainable_weights": 1.0}),
        "evaluate": Record("evaluate", params=params, metrics=METRICS | CROSSING | CORRECTED),
    }
    for stage in notes.STAGES:
        results.get(stage, Record(stage)).write(paths.record(stage))
    report = paths.report("evaluate")
    (report / "finetuned_classes.csv").write_text("label,f1\nb,\na,0.5\n", encoding="utf-8")
    (report / "confusion.csv").write_text("label,finetuned\na,a\n", encoding="utf-8")
    section = Report(title="A <b>page</b>", licence=None)
    page.write(Path("index.html"), section, preset="sample", found=notes.read(), card="# A & B")
    text = Path("index.html").read_text(encoding="utf-8")
    comparison = "Wilcoxon signed-rank test of the two models: p = 0.5."
    corrected = (
        f"2 labels of {split} images were corrected and 1 {split} image dropped by "
        "data/corrections.csv."
    )
    assert re.findall(r"<(?:p|h3)>(On .*|With .*|2 .*|Without .*|8 .*)</(?:p|h3)>", text) == [
        f"On 8 {split} images that no model was trained on. {comparison}{note} {corrected}",
        "With the original labels",
        f"{corrected} The metrics above are with the corrected labels. On 8 {split} images with "
        f"the original labels: {comparison}",
        f"Without duplicates of {others} images",
        f"8 {split} images have no (near) duplicate in {others}. {comparison}",
    ]
    assert "<ul><li>b: no image in test</li></ul>" in text
    assert "<pre># A &amp; B</pre>" in text
    assert "<h1>A &lt;b&gt;page&lt;/b&gt;</h1>" in text
    assert (
        "<p>Files that are not usable as images: 1</p>\n<ul><li>&lt;b&gt;.png: no image</li></ul>"
        in text
    )
    assert text.count("<li>The fine-tuned model is better than the baseline on these images") == 1
    assert "<p>The preset is sample, the parameters" in text
    assert text.count('<span class="quiet">no interval</span>') == 2  # of both models
    assert re.findall(r"<tr><td>(.)</td><td>(.*?)</td></tr>\n", text)[-2:] == [
        ("a", "0.500"),
        ("b", ""),
    ]
