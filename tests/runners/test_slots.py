"""Slots: what they read of a command that runs, and what they leave."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from seedlings.errors import SeedlingsError
from seedlings.runners import slots
from seedlings.runners.processes import Here
from seedlings.runners.slots import Job, Slot
from seedlings.search.trials import Trial


class Folder:
    """A folder in place of a clone."""

    def __init__(self, folder: Path, commit: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    def set(self, values: Mapping[str, Any]) -> None:
        (self.folder / "values").write_text(repr(values), encoding="utf-8")


@pytest.fixture
def slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slot]:
    monkeypatch.setattr(slots, "Clone", Folder)
    slot = Slot(tmp_path / "slot-1", "", Here())
    yield slot
    slot.discard()


def run(slot: Slot, script: str, job: Job | None = None) -> int:
    slot.start(job or Job("head-0001", {}, Trial(1, {})), ["sh", "-c", script])
    while (code := slot.poll()) is None:
        time.sleep(0.01)
    return code


def test_a_half_written_epoch_is_not_read(slot: Slot) -> None:
    assert run(slot, "true") == 0
    assert slot.epochs() == []
    whole = r'{"loss": 2.0}\n{"loss": 1.0}\n'
    assert run(slot, rf"""printf '{whole}{{"lo' >> $SEEDLINGS_TRIAL/epochs""") == 0
    assert slot.epochs() == [{"loss": 2.0}, {"loss": 1.0}]


def test_a_job_does_not_find_the_messages_of_the_last(slot: Slot) -> None:
    run(slot, "echo '{}' > $SEEDLINGS_TRIAL/epochs")
    slot.stop()
    job = Job("head-0002", {}, Trial(2, {}))
    assert run(slot, "ls $SEEDLINGS_TRIAL; echo tracking is $SEEDLINGS_TRACKING", job) == 0
    assert slot.output() == "tracking is off"
    assert (slot.job, job.attempts) == (job, 1)


def test_a_job_begins_with_the_lock_that_it_is_given_and_leaves_its_own(slot: Slot) -> None:
    script = "cat dvc.lock; echo own > dvc.lock"
    assert run(slot, script, Job("wide-seed0001", {}, lock="shared")) == 0
    assert (slot.output(), slot.lock()) == ("shared", "own\n")


def test_a_name_is_for_one_process_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with slots.alone("searches", "head", "the search head"):
        with (
            pytest.raises(SeedlingsError, match="^the search head runs already$"),
            slots.alone("searches", "head", "the search head"),
        ):
            pass
        with slots.alone("repeats", "head", "`seedlings repeat head`") as other:
            assert other.name == "head"
    with slots.alone("searches", "head", "the search head"):
        pass


def test_a_command_sees_that_it_is_to_stop(slot: Slot) -> None:
    script = "until test -e $SEEDLINGS_TRIAL/stop; do sleep 0.01; done; exit 3"
    slot.start(Job("head-0001", {}), ["sh", "-c", script])
    assert slot.poll() is None
    slot.stop()
    while slot.poll() is None:
        time.sleep(0.01)
    assert slot.poll() == 3


def test_the_output_is_its_last_lines(slot: Slot) -> None:
    run(slot, r"seq 1 9; printf '\n10%%\r100%%\n\n\377 end\n'")
    assert slot.output().splitlines() == ["8", "9", "10%", "100%", "\N{REPLACEMENT CHARACTER} end"]


def test_clear_ends_what_runs_and_removes_all_slots(slot: Slot, tmp_path: Path) -> None:
    slot.start(Job("head-0001", {}), ["sleep", "60"])
    slots.clear(tmp_path / "none")
    slots.clear(tmp_path)
    assert not tmp_path.exists()
    while (code := slot.poll()) is None:
        time.sleep(0.01)
    assert code == -9
