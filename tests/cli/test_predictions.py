"""The command `predict`; its answers are tested in tests/serving."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from seedlings import images
from seedlings.cli import cli, packages
from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError


def test_an_output_is_written_and_summed_up_in_one_line(command: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0
    assert done.stdout.startswith("1 file, 0 without a prediction, ")
    assert done.stdout.endswith(f" images/s, in {tmp_path / 'answers.parquet'}\n")
    assert f"model: {tmp_path / 'model'}\n" in done.stderr
    [row] = pd.read_parquet(tmp_path / "answers.parquet").to_dict("records")
    assert row["out_of_distribution"] == "empty mask: 0.00% of the image is foreground"


def test_the_model_of_the_workspace_is_described_with_its_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert packages.described("models/packaged") == "models/packaged"
    record = Record("evaluate", {"evaluate.split": "test"})
    record.add_metrics({"finetuned/accuracy": 0.75, "images": 8.0})
    paths.report("evaluate").mkdir(parents=True)
    record.write(paths.record("evaluate"))
    text = "models/packaged, accuracy 0.7500 (no interval) on 8 test images"
    assert packages.described("models/packaged") == text
    assert packages.described("another/model") == "another/model"


def test_files_without_a_prediction_are_an_error_with_the_first_of_them(
    command: list[str], tmp_path: Path
) -> None:
    for number in range(8):
        (tmp_path / "images" / f"{number}.txt").write_text("text")
    done = CliRunner().invoke(cli, command)
    assert isinstance(done.exception, SeedlingsError)
    assert done.stdout.startswith("9 files, 8 without a prediction, ")
    first, *more = str(done.exception).splitlines()
    assert first.startswith("no prediction for 8 of the 9 files; the column `error` of ")
    assert [line.split(":")[0].split("/")[-1] for line in more] == [f"{n}.txt" for n in range(5)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "answers.parquet", "--json"], "use it without --json and --csv"),
        (["--output", "answers.parquet", "--csv"], "use it without --json and --csv"),
        (["--overwrite"], "the answers in --output, which is missing"),
        (["--output", "out.csv"], "a folder, not out.csv; print CSV or JSON with --csv or --json"),
        (["--output", "out.JSON"], "a folder, not out.JSON"),
    ],
)
def test_options_that_exclude_one_another_or_their_value_are_refused(
    options: list[str], message: str
) -> None:
    done = CliRunner().invoke(cli, ["predict", "images", *options])
    assert done.exit_code == 2
    assert message in done.output


def test_a_missing_file_is_named_before_the_model_is_looked_for(tmp_path: Path) -> None:
    options = ["--model", str(tmp_path / "no model")]
    done = CliRunner().invoke(cli, ["predict", str(tmp_path / "missing.png"), *options])
    assert isinstance(done.exception, SeedlingsError)
    assert str(done.exception) == (
        f"expected a file or a folder at {tmp_path / 'missing.png'}, found nothing"
    )


@pytest.fixture
def images_to_check(command: list[str], tmp_path: Path, rng: np.random.Generator) -> list[str]:
    """The command --check for 30 images of noise and a text."""
    for number in range(30):
        noise = rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)
        (tmp_path / "images" / f"{number}.png").write_bytes(images.encode_png(noise))
    (tmp_path / "images" / "notes.txt").write_text("notes")
    model, page = str(tmp_path / "model"), str(tmp_path / "check.html")
    return ["predict", str(tmp_path / "images"), "--model", model, "--check", "--page", page]


def test_a_check_is_summed_up_and_has_a_page(images_to_check: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, images_to_check)
    assert done.exit_code == 0, done.output
    first, *lines = done.stdout.splitlines()
    assert re.fullmatch("30 images, (un)?like those of validation:", first)
    assert any(line.startswith("  accuracy that the probabilities let expect: ") for line in lines)
    assert "no image in 1 of the files" in done.stderr
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    assert "The strangest images" in page
    assert page.count("data:image/webp") == 1
    told = json.loads(CliRunner().invoke(cli, [*images_to_check, "--json"]).stdout)
    assert told["images"] == 30
    assert len(told["skipped"]) == 1


def test_a_check_fails_on_what_it_should(images_to_check: list[str]) -> None:
    told = json.loads(CliRunner().invoke(cli, [*images_to_check, "--json"]).stdout)
    rejected = {test["name"] for test in told["tests"] if test["p_value"] < told["level"]}
    assert told["shifted"] == bool(rejected)
    for name in ("features", "confidence", "classes", "out-of-distribution"):
        done = CliRunner().invoke(cli, [*images_to_check, "--fail-on", name])
        assert isinstance(done.exception, SeedlingsError) == (name in rejected)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--check", "--csv"], "--check prints a summary"),
        (["--check", "--output", "x"], "--check prints a summary"),
        (["--fail-on", "shift"], "--fail-on is for --check"),
    ],
)
def test_options_of_a_check_that_contradict_are_refused(more: list[str], message: str) -> None:
    done = CliRunner().invoke(cli, ["predict", "x", *more])
    assert done.exit_code == 2
    assert message in done.output
