"""Slots: places where one run of the pipeline after the other works, in a clone."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from seedlings.config import paths
from seedlings.errors import SeedlingsError
from seedlings.runners import remote
from seedlings.runners.clones import Clone
from seedlings.runners.processes import Handle, Pool, end_leftover, log_of
from seedlings.search.experiments import SPLIT
from seedlings.search.trials import Trial, Values

_LINES = 5  # of a command's output, in messages


@dataclass(slots=True)
class Job:
    """One run of the pipeline as an experiment; `trial` is None for one that is no trial.

    `lock` is the dvc.lock with which it begins, by default that of the commit. It names outputs in
    DVC's cache whose rows are reused, and changes no result.
    """

    name: str
    values: Values  # parameters by their full keys
    trial: Trial | None = None
    lock: str = ""
    attempts: int = 0


class Slot:
    """A clone that runs one job after the other. `folder` is for the slot alone."""

    def __init__(self, folder: Path, commit: str, pool: Pool) -> None:
        self._folder, self._commit, self._pool = folder, commit, pool
        self._clone: Clone | None = None
        self._handle: Handle | None = None
        self.job: Job | None = None

    def start(self, job: Job, command: list[str]) -> None:
        """Start a job with a DVC command; the clone is made if there is none."""
        if self._clone is None:
            self._clone = Clone(self._folder / "clone", self._commit)
        self._clone.set(job.values)
        if job.lock:
            (self._clone.folder / paths.LOCK).write_text(job.lock, encoding="utf-8")
        messages = self._messages
        shutil.rmtree(messages, ignore_errors=True)
        messages.mkdir()
        job.attempts += 1
        settings = {"SEEDLINGS_TRACKING": "off", "SEEDLINGS_TRIAL": str(messages)}
        self.job = job
        self._handle = self._pool.start(command, self._clone.folder, settings)

    def poll(self) -> int | None:
        """Return the exit code of the command, or None while it runs; negative if killed."""
        return self._handle.poll() if self._handle else 0

    def epochs(self) -> list[dict[str, float]]:
        """Return the values of the epochs that the training of the job has had so far."""
        file = self._messages / "epochs"
        if not file.exists():
            return []
        lines = file.read_text(encoding="utf-8").split("\n")[:-1]  # the last may be half written
        return [json.loads(line) for line in lines]

    def stop(self) -> None:
        """Ask the training of the job to end after its present epoch."""
        (self._messages / "stop").touch()

    @property
    def results(self) -> Path:
        """Return the folder with the results of the job, once it has ended."""
        return self._folder / "clone"

    def lock(self) -> str:
        """Return the dvc.lock that the job has left."""
        file = self.results / paths.LOCK
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def hand_over(self, experiment: str) -> str:
        """Fetch the experiment of the job into the project; return its commit."""
        assert self._clone
        return self._clone.hand_over(experiment)

    def output(self) -> str:
        """Return the end of the command's output."""
        text = log_of(self.results).read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
        return "\n".join(lines[-_LINES:])

    def discard(self) -> None:
        """End what runs, and forget the clone, which may be incomplete."""
        if self._handle:
            self._handle.end()
        self._clone = self._handle = self.job = None

    @property
    def _messages(self) -> Path:
        return self._folder / "messages"


@contextmanager
def alone(kind: str, name: str, command: str) -> Iterator[Path]:
    """Yield the folder for the slots of a command, which no other process uses meanwhile.

    `kind` and `name` are those of the folder, and `command` is what runs, in the message. What an
    earlier process left there is ended and removed. Raises SeedlingsError if another one uses it.
    """
    folder = paths.home() / ".dvc" / "tmp" / kind
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            clear(folder / name)
            yield folder / name
    except Timeout as error:
        raise SeedlingsError(f"{command} runs already") from error


@contextmanager
def opened(folder: Path, commit: str, jobs: int) -> Iterator[list[Slot]]:
    """Yield slots in a folder for as many jobs at a time; their folders are removed afterwards."""
    try:
        with remote.choose(folder) as pool:
            yield [Slot(folder / f"slot-{n}", commit, pool) for n in range(1, jobs + 1)]
    finally:  # also after an error: the disk may be full
        clear(folder)


def clear(folder: Path) -> None:
    """End the processes that an earlier command left in its slots, and remove their folders.

    Those on workers of a cluster end first: without a lease they may not run, and a slot that
    was used by a worker is free when its file `running` is gone (see remote.py). What is locked
    then is used by processes of this machine.
    """
    remote.withdraw(remote.leftovers(folder))
    for lock in folder.glob("*/clone.lock"):
        end_leftover(lock.with_suffix(""))
    shutil.rmtree(folder, ignore_errors=True)


def evaluated_on(values: Mapping[str, Any], split: str) -> Values:
    """Return parameters with the split on which the models are evaluated."""
    return {**values, SPLIT: split}
