"""The command `search`: what its options mean."""

import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from seedlings.cli import cli
from seedlings.runners import command


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def run(file: Path, name: str, **options: Any) -> None:
        found.append({"file": file, "name": name, **options})

    monkeypatch.setattr(command, "run", run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "head.yaml").touch()
    return found


def call(*arguments: str) -> int:
    return CliRunner().invoke(cli, ["search", "head.yaml", *arguments]).exit_code


def test_the_name_is_that_of_the_file_and_there_is_one_job_without_an_end(calls: list) -> None:
    assert call("--trials", "3") == 0
    [found] = calls
    assert (found["file"], found["name"]) == (Path("head.yaml"), "head")
    assert (found["count"], found["jobs"], found["deadline"]) == (3, 1, float("inf"))


@pytest.mark.parametrize("minutes", [0.0, 0.5])
def test_the_time_is_in_minutes(calls: list, minutes: float) -> None:
    before = time.monotonic()
    assert call("--trials", "3", "--jobs", "2", "--name", "x", "--timeout", str(minutes)) == 0
    [found] = calls
    assert (found["name"], found["jobs"]) == ("x", 2)
    assert before <= found["deadline"] - minutes * 60.0 <= time.monotonic()


@pytest.mark.parametrize(
    "arguments",
    [[], ["--trials", "0"], ["--trials", "1", "--jobs", "0"], ["--trials", "1", "--timeout", "-1"]],
)
def test_an_impossible_option_is_refused(calls: list, arguments: list[str]) -> None:
    assert call(*arguments) == 2
    assert calls == []
