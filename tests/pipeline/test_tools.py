"""What DVC's own tools show of the project, also while a training runs."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from project import Project

from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.training import fit

pytestmark = pytest.mark.slow

HISTORY = paths.report("finetune") / "history.csv"
METRICS = paths.report("finetune") / "metrics.json"


@pytest.fixture
def project(reproduced: Callable[[], Project]) -> Project:
    return reproduced()


def asked(*command: str) -> Any:
    """What `dvc COMMAND --json` prints in the current folder, in a process of its own."""
    printed = subprocess.run(
        [sys.executable, "-m", "dvc", *command, "--json"], check=True, capture_output=True
    ).stdout
    return json.loads(printed)


def test_metrics_and_plots_show_a_training_while_it_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, Any, Any]] = []
    real = fit.write_history

    def watched(record: Record, *arguments: Any, flushed: bool = True, **options: Any) -> None:
        real(record, *arguments, flushed=flushed, **options)
        if record.epochs == 2 and not flushed:  # DVC runs the stage, and a person looks
            seen.append((record.epochs, asked("metrics", "show"), asked("plots", "show")))

    before = {path: (project.root / path).read_bytes() for path in (HISTORY, METRICS)}
    monkeypatch.setattr(fit, "write_history", watched)
    project.repro("--force", "--single-item", "finetune")
    [(epochs, metrics, plots)] = seen
    found = metrics[""]["data"][METRICS.as_posix()]["data"]["last_epoch"]
    assert found["epoch"] == epochs
    [loss] = plots["data"]["loss"]
    points = loss["content"]["data"]["values"]
    assert {point["epoch"] for point in points} == {"1", "2"}
    assert "errors" not in plots
    assert {path: (project.root / path).read_bytes() for path in before} == before
    history = pd.read_csv(project.root / HISTORY)
    last = json.loads((project.root / METRICS).read_text(encoding="utf-8"))["last_epoch"]
    assert last == {
        "epoch": len(history),
        "val_score": history["val_score"].iloc[-1],
        "val_loss": history["val_loss"].iloc[-1],
    }


def test_every_figure_of_the_evaluation_is_a_plot(project: Project) -> None:
    shown = json.loads(project.run("dvc", "plots", "show", "--json"))
    assert "errors" not in shown
    figures = {name for name, plots in shown["data"].items() if plots[0]["type"] == "image"}
    folder = paths.report("evaluate") / "figures"
    assert figures == {f"{folder}/{path.name}" for path in (project.root / folder).iterdir()}
    assert {f"{folder}/confusion.png", f"{folder}/reliability.png"} < figures


def test_experiments_have_few_columns_of_metrics(project: Project) -> None:
    rows = project.run("dvc", "exp", "show", "--csv").splitlines()
    columns = rows[0].split(",")
    assert [name for name in columns if name.startswith("last_epoch")] == [
        "last_epoch.epoch",
        "last_epoch.val_score",
        "last_epoch.val_loss",
    ]


def test_the_model_is_an_artifact_that_dvc_can_get(project: Project, tmp_path: Path) -> None:
    project.in_process = False  # these commands of DVC open the project a second time
    author = ["-c", "user.name=Test", "-c", "user.email=t@example.org"]
    project.run("git", *author, "tag", "-a", "seedlings@v1.0.0", "-m", "The first version")
    project.run("dvc", "artifacts", "get", ".", "seedlings", "--out", str(tmp_path / "by_name"))
    project.run("dvc", "get", ".", "models/packaged", "--out", str(tmp_path / "by_path"))
    for name in ("by_name", "by_path"):
        found = {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*")}
        folder = project.root / paths.PACKAGED
        assert found == {path.name: path.read_bytes() for path in folder.rglob("*")}
