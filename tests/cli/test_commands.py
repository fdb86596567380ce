import importlib.util
from pathlib import Path
from typing import Any

import pytest
import servers
from click.testing import CliRunner

from seedlings import cli
from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError

METRICS = {
    "images": 192.0,
    "majority/accuracy": 0.0833,
    "baseline/accuracy": 0.1406,
    "finetuned/accuracy": 0.4323,
    "mcnemar/only_baseline_right": 11.0,
    "mcnemar/only_finetuned_right": 67.0,
    "mcnemar/p_value": 6.1e-11,
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def summary(**record: Any) -> list[str]:
    """The lines that the command prints for a record of evaluate."""
    Record("evaluate", **record).write(Path("reports/evaluate/record.json"))
    return CliRunner().invoke(cli.cli, ["summary"], catch_exceptions=False).output.splitlines()


def test_the_summary_has_both_models_side_by_side_and_the_pictures() -> None:
    lines = summary(metrics=METRICS, pictures=["reports/evaluate/confusion.png"])
    [accuracy] = [line.split() for line in lines if line.startswith("  accuracy")]
    assert accuracy == ["accuracy", "0.0833", "0.1406", "0.4323"]
    assert ["from", "no", "interval", "no", "interval"] in [line.split() for line in lines]
    output = "\n".join(lines)
    assert "67 images only the fine-tuned model got right, 11 only the baseline" in output
    assert "p = 6.1e-11" in output
    assert "reports/evaluate/confusion.png" in output
    assert "make ui" in output


@pytest.mark.parametrize(("split", "others"), [("test", "validation"), ("validation", "test")])
def test_the_summary_has_the_split_and_the_metrics_without_crossing_duplicates(
    split: str, others: str
) -> None:
    without = {f"without_crossing/{name}": value / 2 for name, value in METRICS.items()}
    lines = summary(params={"evaluate.split": split}, metrics=METRICS | without)
    assert [line for line in lines if line.startswith("On ")] == [
        f"On 192 {split} images:",
        f"On 96 {split} images without duplicates in training or {others}:",
    ]
    rows = [line.split()[1:] for line in lines if line.startswith("  accuracy")]
    assert rows == [["0.0833", "0.1406", "0.4323"], ["0.0416", "0.0703", "0.2162"]]
    warned = any(line.startswith("Validation images are also used for") for line in lines)
    assert warned == (split == "validation")


def test_the_summary_has_both_scores_where_labels_were_corrected() -> None:
    before = {f"original_labels/{name}": value / 2 for name, value in METRICS.items()}
    counts = {"corrected_labels": 3.0, "dropped_images": 0.0}
    lines = summary(metrics=METRICS | before | counts)
    assert [line for line in lines if line.startswith(("On ", "3 "))] == [
        "On 192 test images:",
        "3 labels of test images were corrected and 0 test images dropped by data/corrections.csv.",
        "On 96 test images with the original labels:",
    ]
    rows = [line.split()[1:] for line in lines if line.startswith("  accuracy")]
    assert rows == [["0.0833", "0.1406", "0.4323"], ["0.0416", "0.0703", "0.2162"]]


def test_the_summary_has_the_data_the_files_left_out_and_the_warnings() -> None:
    counts = {"images": 9.0, "classes": 2.0, "train": 6.0, "validation": 1.0, "test": 2.0}
    details = {"skipped": ["a.png: no image"]}
    Record("download", {"data.source": "sample"}).write(paths.record("download"))
    Record("split", {"task": "binary"}, metrics=counts, details=details).write(
        paths.record("split")
    )
    output = "\n".join(summary(metrics=METRICS | {"mcnemar/p_value": 0.5}))
    assert "sample: 9 images of 2 classes (6 train, 1 validation, 2 test)" in output
    assert "Files that are not usable as images: 1\n  a.png: no image\n" in output
    assert "Warning: The fine-tuned model is better than the baseline on these images" in output
    assert "(p = 0.5)" in " ".join(output.split())


def test_without_results_the_summary_says_what_to_do() -> None:
    with pytest.raises(SeedlingsError, match="found none; run `make repro`"):
        CliRunner().invoke(cli.cli, ["summary"], catch_exceptions=False)


@pytest.mark.parametrize("command", ["demo", "review"])
def test_without_streamlit_a_page_says_what_to_install(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SeedlingsError, match="`make .venv/demo` installs it"):
        CliRunner().invoke(cli.cli, [command], catch_exceptions=False)


def test_without_results_the_review_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "found")
    with pytest.raises(SeedlingsError, match=r"found no data/split\.csv, .*; run `dvc repro`"):
        port = ["--port", str(servers.free_port())]
        CliRunner().invoke(cli.cli, ["review", *port], catch_exceptions=False)
