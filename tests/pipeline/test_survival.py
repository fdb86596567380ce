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
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import mlflow
import pytest
import yaml
from project import STAGES, Project

from seedlings.config import paths
from seedlings.io.files import remove

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(reproduced: Callable[[], Project]) -> Project:
    return reproduced()


@pytest.fixture
def copy(undisturbed: Project, new_project: Callable[[], Project]) -> Project:
    project = new_project()
    (project.root / "params.yaml").write_bytes((undisturbed.root / "params.yaml").read_bytes())
    return project


def outputs(project: Project) -> dict[str, str]:
    stages = yaml.safe_load((project.root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return {out["path"]: out["md5"] for entry in stages.values() for out in entry["outs"]}


def kill_in(project: Project, stage: str, log: Path) -> None:
    """Start `dvc repro` up to a stage, and kill -9 the stage's process once it has begun."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["dvc", "repro", stage],
            cwd=project.root,
            env=project.env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    while not started(project, stage):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)  # the stage, its shell and DVC
    process.wait()
    while working_in(project.root):  # what is forked by a server ends a moment later
        time.sleep(0.005)


def working_in(folder: Path) -> list[str]:
    """The ids of all processes whose working folder it is."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # it has ended meanwhile
            if link.readlink() == folder:
                found.append(link.parent.name)
    return found


def started(project: Project, stage: str) -> bool:
    """Whether the stage has begun to write: its scratch files, or its run in MLflow."""
    markers = {
        "download": "data/.raw.partial",
        "split": "reports/split",
        "segment": "data/.images.parts/key",
        "extract": "data/.features.parts",
        "baseline": "models/.baseline.partial",
        "finetune": "models/.finetuned.parts/epoch.npz",
        "package": "models/.packaged.partial",
        "evaluate": "reports/evaluate",
        "explain": "reports/explain",
        "report": "reports/index.html",
    }
    if stage == "extract":  # it has done 80 images in 20 batches
        return len([*(project.root / markers[stage]).glob("*.npz")]) >= 20
    return (project.root / markers[stage]).exists()


def test_a_stage_that_is_killed_is_done_again_with_the_same_bytes(
    undisturbed: Project, copy: Project, tmp_path: Path
) -> None:
    log, written = tmp_path / "output.log", copy.root / "dvc.lock"
    for stage in STAGES:
        kill_in(copy, stage, log)
        done = yaml.safe_load(written.read_text("utf-8"))["stages"] if written.exists() else {}
        assert stage not in done
    output = log.read_text(encoding="utf-8") + copy.repro()
    assert Counter(copy.ran(output)) == dict.fromkeys(STAGES, 2)
    found = re.search(r"extract: (\d+) of 240 images were done before", output)
    assert found, output
    assert int(found.group(1)) >= 80
    assert re.search(r"finetune: [12] epochs were done before", output), output
    assert outputs(copy) == outputs(undisturbed)
    scratch = (".partial", ".parts")
    left = [path for path in copy.root.rglob(".*") if path.name.endswith(scratch)]
    assert left == []
    assert "1 new" in copy.run("seedlings", "sync")


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
        subprocess.run(["umount", str(root)], check=True)


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
    undisturbed: Project, small_disk: Path, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    env = {**undisturbed.env, "MLFLOW_TRACKING_URI": uri, "PYTHONDONTWRITEBYTECODE": "1"}
    stages = yaml.safe_load((small_disk / "dvc.yaml").read_text(encoding="utf-8"))["stages"]

    def original(path: Path) -> Path:
        return undisturbed.root / path.relative_to(small_disk)

    for stage in STAGES:
        made = [small_disk / out for out in stages[stage]["outs"]]
        for path in made:
            remove(path)
        filler = fill(small_disk, leave=3 * 4096)
        command = [sys.executable, "-m", "seedlings.run", stage]
        done = subprocess.run(
            command, cwd=small_disk, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1, (stage, done.stderr)
        assert f"{stage}: expected room for its outputs, found the disk full" in done.stderr
        assert "Traceback" not in done.stderr
        for path in made:  # what is there before the record is written is whole
            if "reports" not in path.parts and path.exists():
                assert contents(path) == contents(original(path)), path
        assert not (small_disk / paths.record(stage)).exists()
        filler.unlink()
        for path in made:  # what the next stage needs; a stage that is done again is tested above
            remove(path)
            copy_of = shutil.copytree if original(path).is_dir() else shutil.copyfile
            copy_of(original(path), path)


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


@pytest.mark.parametrize("kind", ["refused", "silent"])
def test_a_server_that_fails_loses_nothing(
    kind: str, undisturbed: Project, copy: Project, silent_server: str
) -> None:
    uri = "http://127.0.0.1:9" if kind == "refused" else silent_server
    copy.tracking = True
    copy.env["MLFLOW_TRACKING_URI"] = uri
    target = STAGES if kind == "refused" else STAGES[:2]
    output = copy.repro(target[-1])
    assert copy.ran(output) == target
    assert output.count("warning: MLflow at") == len(target)
    expected = outputs(undisturbed)
    assert outputs(copy) == {path: expected[path] for path in outputs(copy)}
    undisturbed.env["MLFLOW_TRACKING_URI"] = uri
    message = undisturbed.run("seedlings", "sync", fails=True)
    del undisturbed.env["MLFLOW_TRACKING_URI"]
    assert "cannot be reached" in message
    assert "Traceback" not in message


def test_a_server_that_dies_between_two_stages_loses_nothing(
    reproduced: Callable[[], Project], tmp_path: Path
) -> None:
    project = reproduced()
    project.set(baseline__epochs=1)
    project.tracking = True
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
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        output = project.repro()
        assert project.ran(output) == ["evaluate", "report"]
        assert output.count("warning: MLflow at") == 2
        server = serve()
        assert "1 new" in project.run("seedlings", "sync")
        [parent] = parents(uri)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    assert "finetuned/accuracy" in parent.data.metrics
    assert parent.outputs.model_outputs
