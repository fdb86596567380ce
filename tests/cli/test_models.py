"""The command `predict`; its answers are tested in tests/serving."""

import importlib.util
import json
import os
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import servers
from click.testing import CliRunner

from benchmarks import networks
from seedlings import images, processor
from seedlings.cli import cli, packages
from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.networks import architectures
from seedlings.packaging import bundle
from seedlings.params import Params
from seedlings.tasks import TASKS


@pytest.fixture
def command(tmp_path: Path, params: Params) -> list[str]:
    """The command for a folder with an image, with a small model and --output."""
    segment = {**params.segment.model_dump(), "pixels": [20, 24]}
    model = architectures.baseline((20, 24, 3), 1, TASKS["binary"])
    contents = networks.contents("binary", ["a", "b"], segment)
    networks.package(model, contents, tmp_path / "model")
    (tmp_path / "images").mkdir()
    black = images.encode_png(np.zeros((30, 30, 3), np.uint8))
    (tmp_path / "images" / "1.png").write_bytes(black)
    options = ["--model", str(tmp_path / "model"), "--output", str(tmp_path / "answers.parquet")]
    return ["predict", str(tmp_path / "images"), *options]


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


@pytest.mark.parametrize("name", ["serve", "demo"])
def test_a_port_that_is_in_use_is_named_before_a_server_starts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "found")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        options = ["--model", str(tmp_path / "no model"), "--port", str(port)]
        done = CliRunner().invoke(cli, [name, *options])
    assert isinstance(done.exception, SeedlingsError)
    assert str(done.exception) == f"port {port} is in use; choose another with --port"


@pytest.mark.parametrize(("name", "portable"), [("serve", True), ("serve", False), ("demo", True)])
def test_a_server_starts_with_the_settings_of_the_processor_of_its_bundle(
    name: str,
    portable: bool,
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tmp_path / "model"
    values = {**asdict(bundle.read(model)), "portable": portable}
    (model / "bundle.json").write_text(json.dumps(values), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "found")
    started = []

    def start(*given: Any) -> None:
        started.append(given)
        [folder] = (tmp_path / ".dvc" / "tmp" / "servers").glob("*/model")
        assert str(folder) in given[1]
        assert [*folder.rglob("bundle.json")]

    monkeypatch.setattr(os, "execvpe", start)
    options = ["--model", str(model), "--port", str(servers.free_port())]
    done = CliRunner().invoke(cli, [name, *options], catch_exceptions=False)
    assert done.exit_code == 0
    [(_, _, environment)] = started
    found = {key: environment.get(key) for key in processor.SETTINGS}
    assert found == (processor.SETTINGS if portable else dict.fromkeys(processor.SETTINGS))
