import importlib.util
from pathlib import Path

import pytest
from click.testing import CliRunner

from seedlings import cli
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


def test_the_summary_has_both_models_side_by_side_and_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = Record("evaluate", metrics=METRICS, pictures=["reports/evaluate/confusion.png"])
    record.write(Path("reports/evaluate/record.json"))
    output = CliRunner().invoke(cli.cli, ["summary"], catch_exceptions=False).output
    [accuracy] = [line.split() for line in output.splitlines() if line.startswith("  accuracy")]
    assert accuracy == ["accuracy", "0.0833", "0.1406", "0.4323"]
    assert [line.split() for line in output.splitlines() if line.startswith("    from")] == [
        ["from", "no", "interval", "no", "interval"]
    ]
    assert "67 images only the fine-tuned model got right, 11 only the baseline" in output
    assert "p = 6.1e-11" in output
    assert "reports/evaluate/confusion.png" in output
    assert "make ui" in output


def test_the_summary_has_the_metrics_without_crossing_duplicates_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    others = {f"without_crossing/{name}": value / 2 for name, value in METRICS.items()}
    Record("evaluate", metrics=METRICS | others).write(Path("reports/evaluate/record.json"))
    output = CliRunner().invoke(cli.cli, ["summary"], catch_exceptions=False).output
    assert "On 192 test images:" in output
    assert "On 96 test images without duplicates in training or validation:" in output
    rows = [line.split()[1:] for line in output.splitlines() if line.startswith("  accuracy")]
    assert rows == [["0.0833", "0.1406", "0.4323"], ["0.0416", "0.0703", "0.2162"]]


def test_the_summary_names_the_split_that_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    others = {f"without_crossing/{name}": value / 2 for name, value in METRICS.items()}
    found = {}
    for split in ("test", "validation"):
        record = Record("evaluate", params={"evaluate.on": split}, metrics=METRICS | others)
        record.write(Path("reports/evaluate/record.json"))
        output = CliRunner().invoke(cli.cli, ["summary"], catch_exceptions=False).output
        lines = output.splitlines()
        found[split] = [line for line in lines if line.startswith(("On ", "Validation "))]
    assert found["test"] == [
        "On 192 test images:",
        "On 96 test images without duplicates in training or validation:",
    ]
    assert found["validation"] == [
        "On 192 validation images:",
        "On 96 validation images without duplicates in training or test:",
        "Validation images are also used for early stopping and calibration, so these metrics "
        "tend to be better than those on test images.",
    ]


def test_without_results_the_summary_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SeedlingsError, match="found none; run `make repro`"):
        CliRunner().invoke(cli.cli, ["summary"], catch_exceptions=False)


def test_without_streamlit_the_demo_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SeedlingsError, match="`make demo` installs it"):
        CliRunner().invoke(cli.cli, ["demo"], catch_exceptions=False)
