"""Commands in process groups: exit codes, and what a kill leaves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from folders import Folder
from imports import ROOT

from seedlings.runners import processes
from seedlings.runners.processes import Here, is_free, log_of

# As DVC does, it starts a process without its other files, and writes the number of that process.
PARENT = """
import subprocess, sys
child = subprocess.Popen(["sleep", "60"], close_fds=True)
open("child", "w").write(f"{child.pid}\\n")
child.wait()
"""
SEARCH = """
import sys, time
from pathlib import Path
from folders import Folder
from seedlings.runners.processes import Here
Here().start([sys.executable, "-c", sys.argv[2]], Folder(Path(sys.argv[1])), {})
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "clone"


def until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_alive(number: int) -> bool:
    try:
        status = Path(f"/proc/{number}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"  # a zombie has ended


def child_of(folder: Path) -> int:
    """The process that PARENT started, once it has."""
    file = folder / "child"
    until(lambda: file.exists() and file.read_text(encoding="utf-8").endswith("\n"))
    return int(file.read_text(encoding="utf-8"))


def parent(folder: Path) -> processes.Handle:
    return Here().start([sys.executable, "-c", PARENT], Folder(folder), {})


def search_in(folder: Path) -> subprocess.Popen[bytes]:
    """A process that has started PARENT."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    command = [sys.executable, "-c", SEARCH, str(folder), PARENT]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})


@pytest.mark.parametrize("code", [0, 3])
def test_a_command_has_its_exit_code_and_its_output(folder: Path, code: int) -> None:
    script = f"pwd; echo $MORE >&2; cat; exit {code}"
    handle = Here().start(["sh", "-c", script], Folder(folder), {"MORE": "of it"})
    until(lambda: handle.poll() is not None)
    assert handle.poll() == code
    assert log_of(folder).read_text(encoding="utf-8") == f"{folder}\nof it\n"


def test_a_command_has_a_group_of_its_own(folder: Path) -> None:
    handle = parent(folder)
    child = child_of(folder)
    assert handle.poll() is None
    command, leader, *_ = psutil.Process(child).parents()
    assert os.getpgid(child) == os.getpgid(command.pid) == leader.pid
    handle.end()
    assert handle.poll() == -signal.SIGKILL
    assert not is_alive(child)
    handle.end()  # which may be called again


@pytest.mark.parametrize("level", [1, 2])
def test_a_command_that_is_killed_ends_with_the_processes_that_it_started(
    folder: Path, level: int
) -> None:
    handle = parent(folder)
    child = psutil.Process(child_of(folder))
    assert not is_free(folder)
    child.parents()[level - 1].kill()  # the command, or the leader of its group
    until(lambda: handle.poll() is not None)
    assert handle.poll() == -signal.SIGKILL
    assert not is_alive(child.pid)
    assert is_free(folder)


def test_a_command_ends_with_the_process_that_started_it(folder: Path) -> None:
    search = search_in(folder)
    child = child_of(folder)
    search.kill()
    search.wait()
    until(lambda: is_free(folder))
    assert not is_alive(child)


def test_a_clone_is_used_as_long_as_a_process_of_its_command_lives(folder: Path) -> None:
    search = search_in(folder)
    child = psutil.Process(child_of(folder))
    command, leader, *_ = child.parents()
    for process in (leader, search, command):  # a leader that is killed ends nothing
        process.kill()
    search.wait()
    until(lambda: not is_alive(command.pid))
    assert not is_free(folder)
    child.kill()
    until(lambda: is_free(folder))


def test_the_environment_has_nothing_of_a_cluster_or_of_an_experiment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DASK_SCHEDULER_ADDRESS", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "OTHER"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PATH", "/usr/bin")
    found = processes.environment({"SEEDLINGS_TRACKING": "off"})
    assert not [name for name in found if name.startswith(("DASK_", "DVC_EXP"))]
    assert (found["OTHER"], found["SEEDLINGS_TRACKING"]) == ("x", "off")
    assert found["PATH"].split(os.pathsep) == ["/usr/bin", str(Path(sys.executable).parent)]
