"""What goes wrong around a stage: it is killed, or the tracking server fails."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import mlflow
import pytest
import yaml
from project import STAGES, Project

from seedlings.config import paths
from seedlings.io.files import remove
from seedlings.tracking import messages

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(reproduced: Callable[[], Project]) -> Project:
    return reproduced()


def outputs(project: Project) -> dict[str, str]:
    stages = yaml.safe_load((project.root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return {out["path"]: out["md5"] for entry in stages.values() for out in entry["outs"]}


@pytest.mark.parametrize(
    ("stage", "partial", "number", "told"),
    [
        ("extract", "data/.features.parts/*.npz", 8, r"(\d+) of 240 images were done before"),
        (
            "finetune",
            "models/.finetuned.parts/epoch-after-0.npz",
            1,
            r"(\d+) epochs were done before",
        ),
    ],
)
def test_a_stage_that_is_killed_continues_with_the_same_result(
    stage: str, partial: str, number: int, told: str, reproduced: Callable[[], Project]
) -> None:
    """A kill at each file operation of each mechanism is tested in io, networks and training."""
    project = reproduced()
    project.env["SEEDLINGS_REUSE"] = "off"
    made = yaml.safe_load((project.root / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]
    before = {path: contents(project.root / path) for path in made["outs"]}
    for path in made["outs"]:
        remove(project.root / path)
    process = subprocess.Popen(
        [sys.executable, "-m", "seedlings.run", stage],
        cwd=project.root,
        env=project.env,
        stderr=subprocess.DEVNULL,
    )
    while len([*project.root.glob(partial)]) < number:
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    output = project.run("python", "-m", "seedlings.run", stage)
    found = re.search(told, output)
    assert found, output
    assert int(found[1]) >= number
    assert {path: contents(project.root / path) for path in made["outs"]} == before
    scratch = (".partial", ".parts")
    assert [path for path in project.root.rglob(".*") if path.name.endswith(scratch)] == []


@pytest.fixture
def small_disk(undisturbed: Project, tmp_path: Path) -> Iterator[Path]:
    """A copy of the small project's files, without DVC's cache, on a disk of its own."""
    root = tmp_path / "disk"
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=250m", "tmpfs", str(root)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk that can be filled wants the right to mount one")
    try:
        left_out = shutil.ignore_patterns(".dvc", ".git", "__pycache__", "mlflow.db")
        shutil.copytree(undisturbed.root, root, dirs_exist_ok=True, ignore=left_out)
        (root / ".dvc").mkdir()
        (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
        yield root
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def fill(root: Path, leave: int) -> Path:
    """Fill the disk but for some bytes; returns the file that does so."""
    free = shutil.disk_usage(root).free
    with (root / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - leave)
    return root / "filler"


def contents(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {file.relative_to(path.parent).as_posix(): file.read_bytes() for file in files}


def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    undisturbed: Project, small_disk: Path
) -> None:
    project = Project(small_disk)
    stages = yaml.safe_load((small_disk / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for stage in STAGES:
        made = [Path(out) for out in stages[stage]["outs"]]
        for path in made:
            remove(small_disk / path)
        filler = fill(small_disk, leave=3 * 4096)
        output = project.run("python", "-m", "seedlings.run", stage, fails=True)
        assert f"{stage}: expected room for its outputs, found the disk full" in output
        assert "Traceback" not in output
        for path in made:  # what is there before the record is written is whole
            if "reports" not in path.parts and (small_disk / path).exists():
                assert contents(small_disk / path) == contents(undisturbed.root / path), path
        assert not (small_disk / paths.record(stage)).exists()
        filler.unlink()
        for path in made:  # what the next stage needs
            remove(small_disk / path)
            copy_of = shutil.copytree if (undisturbed.root / path).is_dir() else shutil.copyfile
            copy_of(undisturbed.root / path, small_disk / path)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server on loopback that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    accepted.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in accepted:
            connection.close()


def parents(uri: str) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("seedlings")
    runs = client.search_runs([experiment.experiment_id])
    return [run for run in runs if "mlflow.parentRunId" not in run.data.tags]


@pytest.mark.parametrize("kind", ["refused", pytest.param("silent", marks=pytest.mark.nightly)])
def test_a_server_that_fails_loses_nothing(
    kind: str, with_fake_stages: Callable[[], Project], silent_server: str
) -> None:
    project = with_fake_stages()
    expected = outputs(project)
    project.in_process, project.tracking = False, True
    project.env["MLFLOW_TRACKING_URI"] = (
        "http://127.0.0.1:9" if kind == "refused" else silent_server
    )
    output = project.repro("--force", "split")
    assert project.ran(output) == STAGES[:2]
    assert outputs(project) == expected
    message = project.run("seedlings", "sync", fails=True)
    assert (output + message).count("warning: MLflow at") == 1
    assert "cannot be reached" in message
    assert "Traceback" not in message


@pytest.mark.nightly
def test_a_server_that_dies_between_two_stages_loses_nothing(
    with_fake_stages: Callable[[], Project],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = with_fake_stages()
    project.set(baseline__epochs=1)
    project.in_process, project.tracking = False, True
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"),
        *("--artifacts-destination", str(tmp_path / "artifacts"), "--workers", "1"),
    ]

    def serve() -> subprocess.Popen[bytes]:
        server = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**project.env, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while True:
            assert server.poll() is None
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.2)
            else:
                return server

    server = serve()
    # While it lives it is given time: the machine of the tests may be busy.
    project.env |= {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_TIMEOUT": "120"}
    try:
        assert "warning" not in project.repro("baseline")
        with chdir(project.root):
            messages.wait_for_all()
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        output = project.repro()
        assert project.ran(output) == ["evaluate", "report"]
        with chdir(project.root):
            messages.wait_for_all()
        output += capsys.readouterr().err
        assert output.count("warning: MLflow at") == 1
        server = serve()
        assert "1 new" in project.run("seedlings", "sync")
        [parent] = parents(uri)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    assert "finetuned/accuracy" in parent.data.metrics
    assert parent.outputs.model_outputs
