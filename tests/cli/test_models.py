"""The commands `predict` and `serve`; their answers are tested in tests/serving."""

import importlib.util
import json
import os
import re
import shutil
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
import servers
from click.testing import CliRunner

from benchmarks import networks
from seedlings import images, processor
from seedlings.cli import cli, http, packages
from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.exports import cached, files
from seedlings.exports.standalone import load
from seedlings.networks import architectures
from seedlings.packaging import bundle
from seedlings.params import Params
from seedlings.serving import http_server
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


@pytest.mark.parametrize("name", ["serve", "serve --http", "demo"])
def test_a_port_that_is_in_use_is_named_before_a_server_starts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "found")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        options = ["--model", str(tmp_path / "no model"), "--port", str(port)]
        done = CliRunner().invoke(cli, [*name.split(), *options])
    assert isinstance(done.exception, SeedlingsError)
    assert str(done.exception) == f"port {port} is in use; choose another with --port"


def test_a_server_for_people_runs_an_export_with_the_card_in_a_small_process(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tmp_path / "model", tmp_path / paths.PACKAGED)
    (tmp_path / paths.MODEL_CARD).parent.mkdir()
    (tmp_path / paths.MODEL_CARD).write_text("# A model\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    picture = (tmp_path / "images" / "1.png").read_bytes()
    monkeypatch.setattr(files, "of_tests", lambda: iter([("1.png", picture)]))
    started = []

    def start(*given: Any) -> None:
        [folder] = (tmp_path / ".dvc" / "tmp" / "servers").glob("*/model")
        assert json.loads((folder / "model.json").read_bytes())["format"] == "litert"
        assert (folder / "README.md").read_text(encoding="utf-8") == "# A model\n"
        answers = load(folder).columns([images.decode(picture)])
        assert answers["prediction"] in (["a"], ["b"])
        started.append((folder, given))

    monkeypatch.setattr(os, "execvpe", start)
    options = ["--host", "localhost", "--port", str(servers.free_port()), "--limit", "images=3"]
    done = CliRunner().invoke(
        cli, ["serve", "--http", "--model", str(paths.PACKAGED), *options], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert "engine: LiteRT\n" in done.stdout
    [(folder, (program, arguments, environment))] = started
    assert arguments[:3] == [program, "-m", "seedlings.exports.server"]
    assert arguments[3:] == ["--folder", str(folder), *options[:4], "--limit=images=3"]
    assert environment["ONEDNN_MAX_CPU_ISA"] == "AVX2"


@pytest.mark.parametrize("is_installed", [True, False])
def test_without_an_export_tensorflow_serves_people_from_a_copy(
    is_installed: bool, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cached, "is_installed", lambda: is_installed)
    started = []
    monkeypatch.setattr(http_server, "serve", lambda app, **given: started.append((app, given)))
    options = ["--model", str(tmp_path / "model"), "--port", str(servers.free_port())]
    done = CliRunner().invoke(cli, ["serve", "--http", *options], catch_exceptions=False)
    assert done.exit_code == 0
    assert ("TensorFlow answers, as there is no export" in done.stderr) == is_installed
    assert "engine: TensorFlow\n" in done.stdout
    [(app, given)] = started
    assert given["host"] == "127.0.0.1"
    with servers.in_thread(app) as address:
        assert requests.get(f"{address}/health").json()["engine"] == "tensorflow"
        assert "<h1 id=" in requests.get(address).text
        assert str(tmp_path / "model") in requests.get(address).text


def test_what_a_server_for_people_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "find_spec", lambda name: None if name == "fastapi" else "found")
    done = CliRunner().invoke(cli, ["serve", "--http", "--model", "model"])
    assert str(done.exception) == (
        "--http: expected fastapi, found none; `make .venv/http` installs the extra `http`"
    )


def test_options_of_a_server_for_people_are_checked() -> None:
    done = CliRunner().invoke(cli, ["serve", "--host", "0.0.0.0"])
    assert done.exit_code == 2
    assert "--host and --limit are for --http" in done.output
    done = CliRunner().invoke(cli, ["serve", "--http", "--limit", "size=3"])
    assert str(done.exception).startswith("--limit: expected one of body, images, pixels, ")
    done = CliRunner().invoke(cli, ["serve", "--http", "--host", "192.0.2.1"])
    assert str(done.exception).startswith("cannot use port 5001 of 192.0.2.1 (")


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
