"""Commands on the workers of a real cluster, and what ends them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import clusters
import dask
import psutil
import pytest
from folders import Folder
from servers import free_port

from seedlings.cluster import identity
from seedlings.errors import SeedlingsError
from seedlings.runners import executions, remote
from seedlings.runners.processes import Handle, Here, Pool, is_free, log_of

pytestmark = pytest.mark.slow
# A command with a process that it started, whose number is in the file `child`.
PARENT = ["sh", "-c", "sleep 100 & echo $! > child; wait"]
SEARCH = """
import sys, time
from pathlib import Path
from seedlings.runners import remote
from folders import Folder
folder = Path(sys.argv[1])
with remote.choose(folder) as pool:
    handle = pool.start(sys.argv[2:], Folder(folder / "1" / "clone"), {})
    while handle.poll() is None:
        time.sleep(0.1)
"""


@pytest.fixture
def clones(tmp_path: Path) -> list[Folder]:
    found = [Folder(tmp_path / "search" / number / "clone") for number in "123"]
    for clone in found:
        clone.folder.parent.mkdir(parents=True)
    return found


def use(cluster: clusters.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.use()
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.address)


def pool_of(clones: list[Folder]) -> "contextmanager[Pool]":
    return remote.choose(clones[0].folder.parents[1])


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def code_of(handle: Handle) -> int | None:
    until(lambda: handle.poll() is not None)
    return handle.poll()


def child_of(clone: Folder, handle: Handle | None = None) -> psutil.Process:
    """The process that PARENT started, once it has."""
    file = clone.folder / "child"
    until(lambda: (handle is None or not handle.poll()) and file.exists() and file.read_text())
    return psutil.Process(int(file.read_text(encoding="utf-8")))


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_commands_run_on_workers_one_on_each(
    two_workers: clusters.Cluster, clones: list[Folder]
) -> None:
    script = "pwd; echo $MORE $OTHER $DVC_EXP_NAME $DASK_CONFIG; touch begun; sleep 1; exit $CODE"
    with pool_of(clones) as pool:
        handles = [
            pool.start(["sh", "-c", script], clone, {"CODE": str(code), "MORE": "more"})
            for code, clone in enumerate(clones)
        ]
        until(
            lambda: [handle.poll() for handle in handles] and (clones[1].folder / "begun").exists()
        )
        assert not (clones[2].folder / "begun").exists()
        assert [code_of(handle) for handle in handles] == [0, 1, 2]
    for clone in clones:
        assert log_of(clone.folder).read_text(encoding="utf-8") == f"{clone.folder}\nmore kept\n"


def test_a_command_that_is_not_wanted_ends_with_the_processes_that_it_started(
    two_workers: clusters.Cluster, clones: list[Folder]
) -> None:
    with pool_of(clones) as pool:
        first = pool.start(PARENT, clones[0], {})
        child = child_of(clones[0], first)
        first.end()
        assert code_of(first) == -9
        until(lambda: is_free(clones[0].folder))
        assert not is_alive(child)
        assert code_of(pool.start(["true"], clones[1], {})) == 0
        first.end()  # which may be called again


def test_a_command_that_cannot_start_says_why(
    two_workers: clusters.Cluster, clones: list[Folder]
) -> None:
    clones[1].folder.parent.rmdir()
    with pool_of(clones) as pool:
        assert code_of(pool.start(["no-such-program"], clones[0], {})) == 1
        clones[1].folder.parent.mkdir()
        second = pool.start(["true"], clones[1], {})
        assert code_of(second) == 0
    assert "No such file or directory: 'no-such-program'" in log_of(clones[0].folder).read_text()


@pytest.mark.parametrize("what", ["worker", "leader"])
def test_a_command_whose_worker_is_killed_counts_as_killed(
    two_workers: clusters.Cluster, clones: list[Folder], what: str
) -> None:
    with pool_of(clones) as pool:
        handle = pool.start(PARENT, clones[0], {})
        child = child_of(clones[0], handle)
        _, leader, worker, *_ = child.parents()
        assert leader.pid == os.getpgid(child.pid)
        (worker if what == "worker" else leader).kill()
        assert code_of(handle) == -9
        assert not is_alive(child)
        assert code_of(pool.start(["true"], clones[1], {})) == 0


def test_a_command_ends_after_its_search_was_killed(
    two_workers: clusters.Cluster, clones: list[Folder]
) -> None:
    folder = clones[0].folder.parents[1]
    command = [sys.executable, "-c", SEARCH, str(folder), *PARENT]
    search = subprocess.Popen(command, env=two_workers.environment)
    child = child_of(clones[0])
    executions.clear(folder)
    assert clones[0].folder.exists()  # it is used
    search.kill()
    search.wait()
    until(lambda: is_free(clones[0].folder))
    assert not is_alive(child)
    executions.clear(folder)
    assert not folder.exists()


def test_workers_that_do_not_see_the_folder_are_refused(
    clones: list[Folder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with clusters.running(tmp_path / "cluster", 2) as started:
        use(started, monkeypatch)
        with pool_of(clones) as pool:
            (clones[0].folder.parents[1] / "token").write_text(
                "of another folder", encoding="utf-8"
            )
            handle = pool.start(["true"], clones[0], {})
            with pytest.raises(SeedlingsError, match="no worker agrees with this process"):
                code_of(handle)
        printed = capsys.readouterr().err
        assert printed.count("is refused: expected the folder") == 2
        until(lambda: not started.workers())
        monkeypatch.setenv("SEEDLINGS_CLUSTER", "optional")
        monkeypatch.setenv("SEEDLINGS_CLUSTER_TIMEOUT", "1")
        with pool_of(clones) as pool:
            assert code_of(pool.start(["touch", "done"], clones[1], {})) == -9
            assert code_of(pool.start(["touch", "done"], clones[2], {})) == 0
    assert not clones[1].folder.exists()
    assert (clones[2].folder / "done").exists()
    assert capsys.readouterr().err.count("; this process does the work\n") == 1


def test_a_worker_without_dvc_is_refused(tmp_path: Path) -> None:
    check = remote.Check(identity.identify(identity.locked()), str(tmp_path / "token"))
    (tmp_path / "token").write_text(check.token, encoding="utf-8")
    assert check.problems() == []
    [problem] = check.problems(["dvc", "dvc-of-another"])
    assert problem.startswith("expected the program dvc-of-another, found none in ")


def test_without_a_scheduler_commands_do_not_run_or_run_here(
    clones: list[Folder], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", f"tcp://127.0.0.1:{free_port()}")
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        with (
            pytest.raises(SeedlingsError, match="expected a Dask scheduler at"),
            pool_of(clones),
        ):
            pass
        monkeypatch.setenv("SEEDLINGS_CLUSTER", "optional")
        with pool_of(clones) as pool:
            assert isinstance(pool, Here)
    assert capsys.readouterr().err.count("warning: ") == 1
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS")
    with pool_of(clones) as pool:
        assert isinstance(pool, Here)


@pytest.mark.parametrize("wanted", ["required", "optional"])
def test_commands_end_with_the_scheduler(
    clones: list[Folder], wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDLINGS_CLUSTER", wanted)
    with clusters.running(tmp_path / "cluster", 1) as started:
        use(started, monkeypatch)
        with pool_of(clones) as pool:
            running = pool.start(PARENT, clones[0], {})
            waiting = pool.start(["true"], clones[1], {})
            child = child_of(clones[0], running)
            assert waiting.poll() is None
            started.process.kill()
            if wanted == "required":
                with pytest.raises(SeedlingsError, match="what is complete is kept: start it"):
                    code_of(running)
                running.end()
                waiting.end()
            else:
                assert (code_of(running), code_of(waiting)) == (-9, -9)
                assert code_of(pool.start(["true"], clones[2], {})) == 0
            until(lambda: not is_alive(child))
