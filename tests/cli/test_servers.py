"""The commands `serve` and `demo`; their answers are tested in tests/serving."""

import importlib.util
import json
import os
import shutil
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import requests
import servers
from click.testing import CliRunner

from seedlings import images, processor
from seedlings.cli import cli, http
from seedlings.config import paths
from seedlings.errors import SeedlingsError
from seedlings.exports import cached, files
from seedlings.exports.standalone import load
from seedlings.packaging import bundle
from seedlings.serving import http_server


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
