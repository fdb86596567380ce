"""Messages of stages to the run logger: files that are read while they are written."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seedlings.tracking import messages

STAGE = """
import os, signal, sys
from seedlings.tracking import messages
with messages.written("extract") as (path, file):
    for number in range(int(sys.argv[1])):
        print('{"number": %d}' % number, file=file, flush=True)
    print(path, flush=True)
    sys.stdin.readline()
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    print('{"number": "last"}', file=file, flush=True)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(messages, "_IDLE", 0.3)


def write(stage: str) -> Path:
    with messages.written(stage) as (path, file):
        print(json.dumps({"stage": stage}), file=file)
    return path


@contextmanager
def reading(folder: Path) -> Iterator[Iterator[Iterator[messages.Message]]]:
    with (folder / "lock").open("w") as lock:
        assert messages._lock(lock.fileno())
        yield messages.read(folder, lock.fileno())


def stages(folder: Path) -> list[list[str]]:
    with reading(folder) as found:
        return [[message["stage"] for message in stage] for stage in found]


@pytest.mark.parametrize("end", ["kill", "go"])
def test_a_stage_is_read_while_it_runs_and_ends_with_its_process(end: str) -> None:
    command = [sys.executable, "-c", STAGE, "3", end]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        path = Path(process.stdout.readline().strip())
        with reading(path.parent) as found:
            stage = next(found)
            assert [next(stage)["number"] for _ in range(3)] == [0, 1, 2]
            print(file=process.stdin, flush=True)
            assert [m["number"] for m in stage] == ([] if end == "kill" else ["last"])


def test_stages_are_read_once_in_their_order() -> None:
    folders = {write(stage).parent for stage in ("split", "segment", "extract")}
    [folder] = folders
    assert stages(folder) == [["split"], ["segment"], ["extract"]]
    assert stages(folder) == []


@pytest.mark.parametrize("late", [True, False])
def test_a_stage_that_finds_the_reader_ending_is_read(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write("split").parent
    until_idle, waiting = messages._until_idle, ["extract"] if late else []

    def ending(folder: Path) -> Iterator[Iterator[messages.Message]]:
        yield from until_idle(folder)
        if waiting:
            write(waiting.pop())

    monkeypatch.setattr(messages, "_until_idle", ending)
    assert stages(folder) == [["split"], ["extract"]][: 1 + late]


def test_another_environment_has_another_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    before = write("split").parent
    monkeypatch.setenv("DVC_STAGE", "segment")
    assert write("segment").parent == before
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert write("segment").parent != before


def test_waiting_ends_when_the_reader_has_read_or_is_gone() -> None:
    path = write("split")
    messages.wait(path)  # nobody reads
    with reading(path.parent) as found:
        next(found)
        waiting = threading.Thread(target=messages.wait, args=(path,))
        waiting.start()
        assert waiting.is_alive()
        assert list(found) == []
        waiting.join()
    assert not path.exists()


def test_one_reader_runs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = "import sys; open('started', 'a').write('x'); open(sys.argv[1] + '/go').read()"
    monkeypatch.setattr(messages, "_READER", (sys.executable, "-c", reader))
    folder = write("split").parent
    os.mkfifo(folder / "go")
    for _ in range(3):
        messages.start_reader()
    assert not messages._is_free(folder / "lock")
    (folder / "go").write_text("")  # waits for the reader
    assert Path("started").read_text() == "x"


def test_sync_forgets_what_a_killed_reader_left_and_shows_its_warnings_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write("split")
    path.with_name("warnings").write_text("warning: no server\n")
    messages.wait_for_all()
    messages.wait_for_all()
    assert capsys.readouterr().err == "warning: no server\n"
    assert not path.exists()
