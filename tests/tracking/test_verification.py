"""Verification: the two answers and the failure, for records and for a pipeline of two stages."""

from collections.abc import Callable
from pathlib import Path

import pytest
from project import Project

from seedlings import processor
from seedlings.cli import cli
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.tracking import verification

PIPELINE = """
stages:
  split:
    cmd: python make.py split
    outs: [data/split.csv]
  evaluate:
    cmd: python make.py evaluate
    deps: [data/split.csv]
    outs: [models/finetuned, reports/evaluate]
"""
# The environment stands for another processor: it changes bytes, and a prediction or two.
SCRIPT = """
import json, os, pathlib, sys
change = int(os.environ.get("CHANGED", "0"))
if sys.argv[1] == "split":
    pathlib.Path("data").mkdir(exist_ok=True)
    pathlib.Path("data/split.csv").write_text(os.environ.get("SPLIT", "path"))
else:
    metrics = {"finetuned/accuracy": (8 - change) / 10, "baseline/accuracy": 0.5, "images": 10.0}
    for path, text in [
        ("models/finetuned/weights", os.environ.get("WEIGHTS", "1")),
        ("reports/evaluate/record.json", json.dumps({"stage": "evaluate", "metrics": metrics})),
    ]:
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(path).write_text(text)
"""


def record(images: int = 10, **metrics: float) -> Record:
    named = {name.replace("__", "/"): value for name, value in metrics.items()}
    return Record("evaluate", metrics={**named, "images": float(images)})


def accuracies(finetuned: float, baseline: float = 0.5, images: int = 10) -> Record:
    return record(images, finetuned__accuracy=finetuned, baseline__accuracy=baseline)


def test_metrics_agree_if_one_test_image_can_be_the_difference() -> None:
    found = verification.compare(accuracies(0.8), accuracies(0.7, 0.6))
    assert found.bound == "one of 10 test images"
    assert found.disagreeing == []
    assert found.lines == [
        "baseline/accuracy is 0.6, in dvc.lock 0.5",
        "finetuned/accuracy is 0.7, in dvc.lock 0.8",
    ]
    found = verification.compare(accuracies(0.8), accuracies(0.6, 0.5))
    assert found.disagreeing == ["finetuned/accuracy is 0.6, in dvc.lock 0.8"]
    assert found.lines == ["baseline/accuracy is 0.5, in dvc.lock 0.5"]


@pytest.mark.parametrize("images", [3, 7, 288, 99_991])
def test_the_bound_holds_for_any_number_of_images(images: int) -> None:
    right = images // 2
    before = accuracies(right / images, right / images, images)
    for change, agrees in ((0, True), (1, True), (-1, True), (2, False)):
        after = accuracies((right + change) / images, right / images, images)
        assert (verification.compare(before, after).disagreeing == []) == agrees


def test_an_error_may_change_by_the_mean_share_of_one_image() -> None:
    before = record(4, finetuned__mae=2.0, baseline__mae=8.0)
    found = verification.compare(before, record(4, finetuned__mae=2.5, baseline__mae=6.0))
    assert found.bound == "the mean share of one of 4 test images"
    assert found.disagreeing == []
    found = verification.compare(before, record(4, finetuned__mae=2.6, baseline__mae=5.9))
    assert [line.split()[0] for line in found.disagreeing] == ["baseline/mae", "finetuned/mae"]
    perfect = record(4, finetuned__mae=0.0, baseline__mae=8.0)
    assert verification.compare(perfect, perfect).disagreeing == []
    assert verification.compare(perfect, before).disagreeing == [
        "finetuned/mae is 2, in dvc.lock 0"
    ]


def test_validation_images_are_named_where_they_are_evaluated() -> None:
    sides = accuracies(0.8), accuracies(0.8, images=11)
    for side in sides:
        side.params["evaluate.split"] = "validation"
    assert verification.compare(sides[0], sides[0]).bound == "one of 10 validation images"
    assert verification.compare(*sides).disagreeing == [
        "there are 11 validation images, in dvc.lock 10"
    ]


@pytest.fixture
def verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The command in a small pipeline with committed results; what it prints."""
    project = Project(tmp_path)
    for name, text in (("dvc.yaml", PIPELINE), ("make.py", SCRIPT)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "params.yaml").write_text("portable: true\n", encoding="utf-8")
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("dvc", "init", "--quiet")
    project.repro()
    project.commit("The results")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", project.env["PATH"])

    def run(*options: str, **environment: str) -> str:
        capfd.readouterr()
        with monkeypatch.context() as context:
            for name, value in environment.items():
                context.setenv(name, value)
            cli(["verify", *options], standalone_mode=False)
        return capfd.readouterr().out

    return run


@pytest.mark.slow
def test_the_command_has_two_answers_and_names_what_differs(
    verify: Callable[..., str], tmp_path: Path
) -> None:
    begin = f"The rebuild runs on {processor.name()}, with `portable: true`.\n"
    assert verify() == (
        begin + "The rebuild gives the same bytes: its dvc.lock equals the committed one.\n"
    )
    assert verify(CHANGED="1", WEIGHTS="2") == (
        begin + "The rebuild gives the same bytes but for 2 of 3 outputs, and its metrics agree "
        "within one of 10 test images:\n"
        "  evaluate: models/finetuned/weights\n"
        "  evaluate: reports/evaluate/record.json\n"
        "  baseline/accuracy is 0.5, in dvc.lock 0.5\n"
        "  finetuned/accuracy is 0.7, in dvc.lock 0.8\n"
    )
    first = "the rebuild differs from dvc.lock, first in evaluate: "
    with pytest.raises(SeedlingsError, match=f"^{first}models/finetuned/weights$"):
        verify("--exact", WEIGHTS="2")
    differs = "finetuned/accuracy is 0.6, in dvc.lock 0.8"
    with pytest.raises(
        SeedlingsError, match=f"^{first}reports/evaluate/record.json\n  and {differs}$"
    ):
        verify(CHANGED="2")
    with pytest.raises(SeedlingsError, match="and the test images are others: data/split.csv"):
        verify(SPLIT="other")
    (tmp_path / ".dvc" / "cache").rename(tmp_path / "elsewhere")
    with pytest.raises(
        SeedlingsError,
        match=r"(?s)models/finetuned \(expected .*and the metrics cannot be compared: ",
    ):
        verify(WEIGHTS="2")
