"""Commands on the workers of a real cluster, and what ends them."""

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
from servers import free_port

from seedlings.cluster import identity, work
from seedlings.errors import SeedlingsError
from seedlings.runners import executions, remote
from seedlings.runners.processes import Handle, Here, Pool, log_of

pytestmark = pytest.mark.slow
# A command with a process that it started, whose number is in the file `child`.
PARENT = ["sh", "-c", "sleep 100 & echo $! > child; wait"]
SEARCH = """
import sys, time
from pathlib import Path
from seedlings.runners import remote
folder, remote.LIMIT = Path(sys.argv[1]), float(sys.argv[2])
with remote.choose(folder) as pool:
    handle = pool.start(sys.argv[3:], folder / "slot-1" / "clone", {})
    while handle.poll() is None:
        time.sleep(0.1)
"""


@pytest.fixture
def clones(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "search" / f"slot-{number}" / "clone" for number in (1, 2, 3)]
    for clone in found:
        clone.mkdir(parents=True)
    return found


def use(cluster: clusters.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.use()
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.address)


def pool_of(clones: list[Path]) -> "contextmanager[Pool]":
    return remote.choose(clones[0].parents[1])


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def code_of(handle: Handle) -> int | None:
    until(lambda: handle.poll() is not None)
    return handle.poll()


def child_of(clone: Path, handle: Handle | None = None) -> psutil.Process:
    """The process that PARENT started, once it has."""
    file = clone / "child"
    until(lambda: (handle is None or not handle.poll()) and file.exists() and file.read_text())
    return psutil.Process(int(file.read_text(encoding="utf-8")))


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def killed_search(clone: Path, cluster: clusters.Cluster, limit: float) -> psutil.Process:
    """What PARENT started for a search that was killed."""
    command = [sys.executable, "-c", SEARCH, str(clone.parents[1]), str(limit), *PARENT]
    search = subprocess.Popen(command, env=cluster.environment)
    child = child_of(clone)
    search.kill()
    search.wait()
    assert is_alive(child)
    return child


def test_commands_run_on_workers_one_on_each(
    two_workers: clusters.Cluster, clones: list[Path]
) -> None:
    script = "pwd; echo $MORE $OTHER $DVC_EXP_NAME $DASK_CONFIG; touch begun; sleep 1; exit $CODE"
    with pool_of(clones) as pool:
        handles = [
            pool.start(["sh", "-c", script], clone, {"CODE": str(code), "MORE": "more"})
            for code, clone in enumerate(clones)
        ]
        until(lambda: [handle.poll() for handle in handles] and (clones[1] / "begun").exists())
        assert not (clones[2] / "begun").exists()
        assert [code_of(handle) for handle in handles] == [0, 1, 2]
    for clone in clones:
        assert log_of(clone).read_text(encoding="utf-8") == f"{clone}\nmore kept\n"
        assert {file.name for file in clone.parent.iterdir()} == {"clone", "clone.log"}


def test_a_command_ends_with_the_processes_that_it_started(
    two_workers: clusters.Cluster, clones: list[Path]
) -> None:
    with pool_of(clones) as pool:
        first = pool.start(PARENT, clones[0], {})
        child = child_of(clones[0], first)
        first.end()
        assert not is_alive(child)
        assert code_of(first) == -9
        second = pool.start(["true"], clones[0], {})
        first.end()  # which may be called again
        assert code_of(second) == 0


def test_a_command_that_cannot_start_says_why(
    two_workers: clusters.Cluster, clones: list[Path]
) -> None:
    with pool_of(clones) as pool:
        assert code_of(pool.start(["no-such-program"], clones[0], {})) == 1
    assert "No such file or directory: 'no-such-program'" in log_of(clones[0]).read_text()


@pytest.mark.parametrize("what", ["worker", "supervisor"])
def test_a_command_whose_worker_is_killed_counts_as_killed(
    two_workers: clusters.Cluster, clones: list[Path], what: str
) -> None:
    with pool_of(clones) as pool:
        handle = pool.start(PARENT, clones[0], {})
        child = child_of(clones[0], handle)
        supervisor = next(p for p in child.parents() if remote.__name__ in p.cmdline())
        (supervisor.parent() if what == "worker" else supervisor).kill()
        assert code_of(handle) == -9
        assert not is_alive(child)
        assert code_of(pool.start(["true"], clones[0], {})) == 0


def test_a_command_ends_after_its_search_was_killed(
    two_workers: clusters.Cluster, clones: list[Path]
) -> None:
    child = killed_search(clones[0], two_workers, limit=1.0)
    until(lambda: not is_alive(child))
    until(lambda: not clones[0].with_suffix(".running").exists())


def test_the_next_search_ends_what_a_killed_one_left_on_workers(
    two_workers: clusters.Cluster, clones: list[Path]
) -> None:
    child = killed_search(clones[0], two_workers, limit=100.0)
    executions.clear(clones[0].parents[1])
    assert not is_alive(child)
    assert not clones[0].parents[1].exists()
    clones[0].mkdir(parents=True)
    with pool_of(clones) as pool:
        assert code_of(pool.start(["true"], clones[0], {})) == 0


def test_a_clone_is_free_when_the_limit_has_passed(
    clones: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "LIMIT", 0.5)
    clones[0].with_suffix(".running").touch()  # of a machine that failed
    clones[0].with_suffix(".lock").touch()
    begin = time.monotonic()
    executions.clear(clones[0].parents[1])
    assert time.monotonic() - begin >= 0.5
    assert not clones[0].exists()


def test_workers_that_do_not_see_the_folder_are_refused(
    two_workers: clusters.Cluster,
    clones: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    token = clones[0].parents[1] / "token"
    with pool_of(clones) as pool:
        token.write_text("of another folder", encoding="utf-8")
        handle = pool.start(["true"], clones[0], {})
        message = f"worker tls://.* is refused: expected the folder {token.parent}, found none or"
        with pytest.raises(SeedlingsError, match=message):
            code_of(handle)
    printed = capsys.readouterr().err
    assert printed.count("is refused: expected the folder") == 2
    monkeypatch.setenv("SEEDLINGS_CLUSTER", "optional")
    with pool_of(clones) as pool:
        token.unlink()
        assert code_of(pool.start(["touch", "done"], clones[0], {})) == 0
    assert (clones[0] / "done").exists()
    assert capsys.readouterr().err.count("; this process does the work\n") == 1


def test_a_worker_without_dvc_is_refused(tmp_path: Path) -> None:
    here = identity.identify(identity.locked(), identity.code())
    (tmp_path / "token").write_text("it", encoding="utf-8")
    assert work.check(here, tmp_path / "token", "it", ["dvc", "git"]) == []
    [problem] = work.check(here, tmp_path / "token", "it", ["dvc", "dvc-of-another"])
    assert problem.startswith("expected the program dvc-of-another, found none in ")


def test_without_a_scheduler_commands_do_not_run_or_run_here(
    clones: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    clones: list[Path], wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDLINGS_CLUSTER", wanted)
    with clusters.running(tmp_path / "cluster", 1) as started:
        use(started, monkeypatch)
        with pool_of(clones) as pool:
            running = pool.start(PARENT, clones[0], {})
            waiting = pool.start(["true"], clones[1], {})
            child = child_of(clones[0], running)
            assert waiting.poll() is None
            [scheduler] = started.processes("scheduler")
            scheduler.kill()
            if wanted == "required":
                with pytest.raises(SeedlingsError, match="what is complete is kept: start it"):
                    code_of(running)
                running.end()
                waiting.end()
            else:
                assert (code_of(running), code_of(waiting)) == (-9, 0)
            assert not is_alive(child)
