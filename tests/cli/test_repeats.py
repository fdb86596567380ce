"""The command `repeat`, and `compare --repeats`: what their arguments mean."""

from typing import Any

import pytest
from click.testing import CliRunner

from seedlings.cli import cli
from seedlings.errors import SeedlingsError
from seedlings.repeats import command, experiments, results


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(
        command, "run", lambda name, **options: found.append({"name": name, **options})
    )
    return found


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ("repeat", 5, 1)),
        (["wide", "--seeds", "3", "--jobs", "2"], ("wide", 3, 2)),
    ],
)
def test_there_are_five_seeds_unless_others_are_asked_for(
    calls: list, arguments: list[str], expected: tuple[str, int, int]
) -> None:
    assert CliRunner().invoke(cli, ["repeat", *arguments]).exit_code == 0
    [found] = calls
    assert (found["name"], found["seeds"], found["jobs"]) == expected


@pytest.mark.parametrize("arguments", [["--seeds", "1"], ["--jobs", "0"], ["a", "b"]])
def test_an_impossible_option_is_refused(calls: list, arguments: list[str]) -> None:
    assert CliRunner().invoke(cli, ["repeat", *arguments]).exit_code == 2
    assert calls == []


def test_repeats_are_compared_with_those_of_the_first_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "find", str.upper)
    monkeypatch.setattr(results, "compared", lambda first, other: [f"{first} and {other}"])
    found = CliRunner().invoke(cli, ["compare", "--repeats", "a", "b", "c"])
    assert found.output.splitlines() == ["A and B", "A and C"]


def test_one_name_of_repeats_is_not_compared_with_the_workspace() -> None:
    found = CliRunner().invoke(cli, ["compare", "--repeats", "a"])
    assert isinstance(found.exception, SeedlingsError)
    assert "expected two names of `seedlings repeat`" in str(found.exception)
