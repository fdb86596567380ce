"""The server of an exported folder, as a process."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import requests
import servers

from seedlings import images
from seedlings.errors import SeedlingsError
from seedlings.exports import container, folder
from seedlings.exports.folder import Origin
from seedlings.serving.predictor import Predictor

pytestmark = pytest.mark.slow

Files = list[tuple[str, bytes]]
# Without what an export does not need.
BLOCKED = ("tensorflow", "keras", "pandas", "mlflow", "dvc", "seedlings")
RUN = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({BLOCKED}))
sys.argv.pop(0)
sys.path.insert(0, ".")
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# A fifth of a second of decoding in few bytes.
SLOW = images.encode_png(np.zeros((4000, 4000, 3), np.uint8))


@pytest.fixture
def made(package: Callable[..., Path]) -> Path:
    return package("multiclass")


@pytest.fixture
def exported(made: Path, files: Files, tmp_path: Path) -> Path:
    origin = Origin(card="# A model\n\n## Limits\n\nFew images.\n")
    folder.write(made, "litert", tmp_path / "exported", files=files, origin=origin)
    return tmp_path / "exported"


@contextmanager
def running(exported: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = (sys.executable, "-I", "-c", RUN, "server.py", "--port", str(port))
    command += ("--limit", "seconds=600")
    with servers.running(*command, port=port, folder=exported) as server:
        yield server


def ask(port: int, *pictures: bytes) -> requests.Response:
    files = [("file", (f"{number}.png", picture)) for number, picture in enumerate(pictures)]
    return requests.post(f"http://127.0.0.1:{port}/predict", files=files)


def until_they_run(port: int, count: int) -> None:
    while True:
        text = requests.get(f"http://127.0.0.1:{port}/metrics").text
        if f"seedlings_requests_in_progress {count}.0" in text:
            return
        time.sleep(0.005)


def check(answer: requests.Response, made: Path, pictures: list[bytes]) -> None:
    """Check the answer for pictures against the packaged model."""
    predictor = Predictor(made)
    expected = predictor.answer([predictor.decode(picture) for picture in pictures])
    rows = answer.json()["predictions"]
    assert [row["prediction"] for row in rows] == expected["prediction"].tolist()
    for row, other in zip(rows, expected["probabilities"], strict=True):
        assert row["probabilities"] == pytest.approx(other, rel=1e-5, abs=1e-5)
    assert [row["path"] for row in rows] == [f"{number}.png" for number in range(len(pictures))]


def test_a_server_answers_without_tensorflow_as_the_packaged_model_does(
    exported: Path, made: Path, files: Files
) -> None:
    pictures = [data for _, data in files[:5]]
    port = servers.free_port()
    with running(exported, port):
        check(ask(port, *pictures), made, pictures)
        health = requests.get(f"http://127.0.0.1:{port}/health").json()
        page = requests.get(f"http://127.0.0.1:{port}").text
    assert health == {"status": "ok", "task": "multiclass", "engine": "litert"}
    assert "<h1" in page
    assert "Few images." in page


def test_requests_that_run_are_answered_before_the_server_ends(exported: Path) -> None:
    port = servers.free_port()
    with running(exported, port) as server, ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(ask, port, *[SLOW] * 8) for _ in range(4)]
        until_they_run(port, 4)
        server.send_signal(signal.SIGTERM)
        answers = [answer.result() for answer in asked]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert [len(answer.json()["predictions"]) for answer in answers] == [8] * 4
        assert server.wait() == -signal.SIGTERM


def test_a_client_of_a_server_that_is_killed_gets_an_error_and_another_start_works(
    exported: Path, made: Path, files: Files
) -> None:
    port = servers.free_port()
    with running(exported, port) as server, ThreadPoolExecutor(1) as clients:
        asked = clients.submit(ask, port, *[SLOW] * 8)
        until_they_run(port, 1)
        server.kill()
        with pytest.raises(requests.ConnectionError):
            asked.result()
    with running(exported, port):
        check(ask(port, files[0][1]), made, [files[0][1]])


def test_other_limits_are_refused(exported: Path) -> None:
    command = [sys.executable, "server.py", "--limit", "images=none"]
    done = subprocess.run(command, cwd=exported, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--limit: expected one of body, images, " in done.stderr


def test_without_the_packages_of_the_server_there_is_no_export(
    made: Path, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "_PACKAGES", ("fastapi", "no-such-package"))
    with pytest.raises(SeedlingsError, match="expected the package no-such-package .* export"):
        folder.write(made, "litert", tmp_path / "out", files=files, origin=Origin())
    assert not (tmp_path / "out").exists()


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """Yield the instructions of a Dockerfile that has one on each line, and their arguments."""
    for line in dockerfile.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, _, rest = line.partition(" ")
            yield name, rest


@pytest.mark.nightly
def test_the_steps_of_the_dockerfile_give_a_server_that_answers_as_the_packaged_model_does(
    exported: Path, made: Path, files: Files, tmp_path: Path
) -> None:
    steps = list(instructions(exported / "Dockerfile"))
    [(_, base)] = [step for step in steps if step[0] == "FROM"]
    python = re.fullmatch(r"python:(\d+\.\d+)-slim", base)
    assert python
    venv, work = tmp_path / "venv", tmp_path / "work"
    work.mkdir()
    subprocess.run(["uv", "venv", "--quiet", "--seed", "--python", python[1], venv], check=True)
    env = {"PATH": f"{venv / 'bin'}{os.pathsep}{os.defpath}", "HOME": str(tmp_path)}
    env |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    port = servers.free_port()
    for name, rest in steps:
        if name == "COPY":
            *sources, _ = rest.split()
            for source in sources:
                copy = shutil.copy if (exported / source).is_file() else shutil.copytree
                copy(exported / source, work, **({"dirs_exist_ok": True} if source == "." else {}))
        elif name == "RUN" and not rest.startswith("useradd"):
            subprocess.run(rest, shell=True, cwd=work, env=env, check=True)
    given = {name: rest.replace("8000", str(port)) for name, rest in steps}
    command = json.loads(given["CMD"])
    health = json.loads(given["HEALTHCHECK"].removeprefix("CMD "))
    assert subprocess.run(health, env=env, capture_output=True, check=False).returncode == 1
    with servers.running(*command, port=port, folder=work, env=env):
        subprocess.run(health, env=env, check=True)
        pictures = [data for _, data in files[:5]]
        check(ask(port, *pictures), made, pictures)
    listed = subprocess.run(["pip", "list"], env=env, capture_output=True, text=True, check=True)
    assert "tensorflow" not in listed.stdout
