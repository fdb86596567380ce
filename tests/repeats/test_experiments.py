"""Experiments of repeats in Git: their names, and which are found."""

from pathlib import Path

import pytest
import searches
from searches import TREE, experiment

from seedlings.errors import SeedlingsError
from seedlings.repeats import command, experiments
from seedlings.tracking import git


@pytest.fixture(autouse=True)
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    return searches.repository(tmp_path, monkeypatch)


def add(name: str, seed: int, value: float) -> str:
    return experiment(name, experiments.parameters(seed), value, on="test")


def another_commit() -> str:
    git.run("commit", "--quiet", "--allow-empty", "--message", "More")
    return git.run("rev-parse", "HEAD")


def test_repeats_are_known_by_the_names_of_their_experiments(commit: str) -> None:
    first = add("wide-seed0001", 1, 0.7)
    tenth = add("wide-seed0010", 10, 0.6)
    for other in ("wide-0001", "wide-seed1", "very-wide-seed0001", "wide-seed0001-b"):
        add(other, 1, 0.1)
    assert experiments.commits("wide", commit) == {1: first, 10: tenth}
    found = experiments.find("wide")
    [metric] = [metric for metric in found.metrics if metric.name == "accuracy"]
    assert (found.seeds, found.values(metric)) == ([1, 10], [0.7, 0.6])
    assert (found.task, found.split) == ("multiclass", "test")
    assert [one.training for one in found.results] == [100, 100]


def test_an_experiment_with_other_parameters_is_no_repeat(commit: str) -> None:
    values = {**experiments.parameters(1), "finetune.epochs": 3}
    made = experiment("wide-seed0001", values, 0.7, on="test")
    with pytest.raises(SeedlingsError, match=r"the seed 1 .*, found another finetune\.epochs; cho"):
        experiments.read(1, made, TREE)
    with pytest.raises(SeedlingsError, match=r"the seed 2 .* another split\.seed, finetune\.seed;"):
        experiments.read(2, made)


def test_those_of_the_present_commit_are_found_first() -> None:
    add("wide-seed0001", 1, 0.7)
    another_commit()
    assert experiments.find("wide").results[0].metrics["finetuned/accuracy"] == 0.7
    add("wide-seed0001", 1, 0.8)
    assert experiments.find("wide").results[0].metrics["finetuned/accuracy"] == 0.8
    another_commit()
    with pytest.raises(SeedlingsError, match="expected the repeats wide of one commit, found thos"):
        experiments.find("wide")


def test_without_experiments_the_command_is_named() -> None:
    with pytest.raises(SeedlingsError, match=r"as wide-seed0001, found none; run `seedlings repe"):
        experiments.find("wide")


@pytest.mark.parametrize("name", ["..", "a/b", "", "-a"])
def test_a_name_that_cannot_be_part_of_a_ref_is_refused(name: str) -> None:
    with pytest.raises(SeedlingsError, match="^expected NAME of letters, digits, - and _, found"):
        command.run(name, seeds=2, jobs=1, say=print)


def test_repeats_start_from_a_commit_and_not_from_edits() -> None:
    Path("params.yaml").write_text("seed: 1\n", encoding="utf-8")
    with pytest.raises(SeedlingsError, match="expected a workspace without changes"):
        command.run("wide", seeds=2, jobs=1, say=print)
    assert not Path(".dvc").exists()
