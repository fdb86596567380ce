"""Commands in process groups: exit codes, and what a kill leaves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from seedlings.runners import processes
from seedlings.runners.processes import Here, end_leftover, log_of

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
from seedlings.runners.processes import Here
Here().start([sys.executable, "-c", sys.argv[2]], Path(sys.argv[1]), {})
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clone").mkdir()
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


def leader_of(folder: Path) -> int:
    """The process of the command that was started in a folder."""
    return int(folder.with_name("clone.lock").read_text(encoding="utf-8"))


def parent(folder: Path) -> processes.Handle:
    return Here().start([sys.executable, "-c", PARENT], folder, {})


@pytest.mark.parametrize("code", [0, 3])
def test_a_command_has_its_exit_code_and_its_output(folder: Path, code: int) -> None:
    script = f"pwd; echo $MORE >&2; cat; exit {code}"
    handle = Here().start(["sh", "-c", script], folder, {"MORE": "of it"})
    until(lambda: handle.poll() is not None)
    assert handle.poll() == code
    assert log_of(folder).read_text(encoding="utf-8") == f"{folder}\nof it\n"


def test_a_command_has_a_group_of_its_own(folder: Path) -> None:
    handle = parent(folder)
    child = child_of(folder)
    assert handle.poll() is None
    assert os.getpgid(child) == leader_of(folder) != os.getpgid(0)
    handle.end()
    assert handle.poll() == -signal.SIGKILL
    assert not is_alive(child)
    handle.end()  # which may be called again


def test_a_command_that_is_killed_ends_with_the_processes_that_it_started(folder: Path) -> None:
    handle = parent(folder)
    child = child_of(folder)
    os.kill(leader_of(folder), signal.SIGKILL)
    until(lambda: handle.poll() is not None)
    assert handle.poll() == -signal.SIGKILL
    assert not is_alive(child)


@pytest.mark.parametrize("is_leader_killed", [False, True])
def test_what_a_killed_search_left_is_ended(folder: Path, is_leader_killed: bool) -> None:
    search = subprocess.Popen([sys.executable, "-c", SEARCH, str(folder), PARENT])
    child, leader = child_of(folder), leader_of(folder)
    search.kill()
    search.wait()
    if is_leader_killed:  # also the command, but not the process that it started
        os.kill(leader, signal.SIGKILL)
        until(lambda: not is_alive(leader))
    assert is_alive(child)
    end_leftover(folder)
    assert not is_alive(child)
    assert not is_alive(leader)
    end_leftover(folder)


def test_without_a_lock_no_process_is_ended(folder: Path) -> None:
    end_leftover(folder)  # no command has run there
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        folder.with_name("clone.lock").write_text(str(other.pid), encoding="utf-8")
        end_leftover(folder)
        assert other.poll() is None
        other.kill()


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
