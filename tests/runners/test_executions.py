"""Executions: what they read of a command that runs, and what they leave."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from folders import Folder

from seedlings.errors import SeedlingsError
from seedlings.runners import executions
from seedlings.runners.executions import Execution, Job, Place
from seedlings.runners.processes import Here


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Execution]]:
    """Start a script as an execution of a job."""
    monkeypatch.setattr(
        executions, "Clone", lambda project, folder, commit, values, lock: Folder(folder, lock)
    )
    started = []

    def start(script: str, job: Job | None = None) -> Execution:
        place = Place(tmp_path / "clones", "", Here(), 1)
        started.append(Execution(place, job or Job("head-0001", {}), ["sh", "-c", script]))
        return started[-1]

    yield start
    for execution in started:
        execution.end()


def code_of(execution: Execution) -> int:
    while (code := execution.poll()) is None:
        time.sleep(0.01)
    return code


def test_a_half_written_epoch_is_not_read(start: Callable[..., Execution]) -> None:
    whole = r'{"loss": 2.0}\n{"loss": 1.0}\n'
    execution = start(rf"""printf '{whole}{{"lo' >> $SEEDLINGS_TRIAL/epochs""")
    assert code_of(execution) == 0
    assert execution.epochs() == [{"loss": 2.0}, {"loss": 1.0}]
    assert start("true").epochs() == []


def test_each_execution_has_a_clone_of_its_own(start: Callable[..., Execution]) -> None:
    job = Job("head-0001", {})
    first, second = (start("pwd; echo tracking is $SEEDLINGS_TRACKING", job) for _ in range(2))
    assert (code_of(first), code_of(second), job.attempts) == (0, 0, 2)
    assert first.results != second.results
    assert [e.output() for e in (first, second)] == [
        f"{e.results}\ntracking is off" for e in (first, second)
    ]
    first.end()
    assert not first.results.parent.exists()
    assert second.results.exists()


def test_a_job_begins_with_the_lock_that_it_is_given_and_leaves_its_own(
    start: Callable[..., Execution],
) -> None:
    execution = start("cat dvc.lock; echo own > dvc.lock", Job("wide", {}, lock="shared"))
    assert code_of(execution) == 0
    assert (execution.output(), execution.lock()) == ("shared", "own\n")


def test_a_name_is_for_one_process_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with executions.alone("searches", "head", "the search head"):
        with (
            pytest.raises(SeedlingsError, match="^the search head runs already$"),
            executions.alone("searches", "head", "the search head"),
        ):
            pass
        with executions.alone("repeats", "head", "`seedlings repeat head`") as other:
            assert other.name == "head"
    with executions.alone("searches", "head", "the search head"):
        pass


def test_a_command_sees_that_it_is_to_stop(start: Callable[..., Execution]) -> None:
    execution = start("until test -e $SEEDLINGS_TRIAL/stop; do sleep 0.01; done; exit 3")
    assert execution.poll() is None
    execution.stop()
    assert code_of(execution) == 3


def test_the_output_is_its_last_lines(start: Callable[..., Execution]) -> None:
    execution = start(r"seq 1 9; printf '\n10%%\r100%%\n\n\377 end\n'")
    assert code_of(execution) == 0
    lines = ["8", "9", "10%", "100%", "\N{REPLACEMENT CHARACTER} end"]
    assert execution.output().splitlines() == lines


def test_what_is_left_is_removed_when_nothing_uses_it(
    start: Callable[..., Execution], tmp_path: Path
) -> None:
    used, left = start("sleep 60"), start("true")
    assert code_of(left) == 0
    executions.clear(tmp_path / "none")
    executions.clear(tmp_path / "clones")
    assert [*(tmp_path / "clones").iterdir()] == [used.results.parent]
    os.kill(used._handle._process.pid, signal.SIGKILL)
    assert code_of(used) == -9
    executions.clear(tmp_path / "clones")
    assert not (tmp_path / "clones").exists()
