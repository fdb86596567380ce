"""Executions: each is one run of the pipeline, in a clone of its own."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from seedlings.config import paths
from seedlings.errors import SeedlingsError
from seedlings.runners import processes, remote
from seedlings.runners.clones import Clone
from seedlings.runners.processes import Pool

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial  # an optional package, which repeats do without

SPLIT = "evaluate.split"
Values = dict[str, Any]  # parameters by their full keys

_LINES = 5  # of a command's output, in messages
_CLONE = "clone"


@dataclass(slots=True)
class Job:
    """One run of the pipeline as an experiment; `trial` is None for one that is no trial.

    `lock` is the dvc.lock with which it begins, by default that of the commit. It names outputs in
    DVC's cache whose rows are reused, and changes no result.
    """

    name: str
    values: Values
    trial: "FrozenTrial | None" = None
    lock: str = ""
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where executions have their clones of a commit, and how many there are at a time."""

    folder: Path
    commit: str
    pool: Pool
    jobs: int


class Execution:
    """One execution of a job with a DVC command; its clone has a name that no other one has had."""

    def __init__(self, place: Place, job: Job, command: Sequence[str]) -> None:
        self.job = job
        job.attempts += 1
        place.folder.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=f"{job.name}-", dir=place.folder))
        self._messages = self._folder / "messages"
        self._messages.mkdir()
        folder = self._folder / _CLONE
        self._clone = Clone(Path.cwd(), folder, place.commit, job.values, job.lock)
        settings = {"SEEDLINGS_TRACKING": "off", "SEEDLINGS_TRIAL": str(self._messages)}
        self._handle = place.pool.start(command, self._clone, settings)

    def poll(self) -> int | None:
        """Return the exit code of the command, or None while it runs; negative if killed."""
        return self._handle.poll()

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
        return self._clone.folder

    def lock(self) -> str:
        """Return the dvc.lock that the job has left."""
        file = self.results / paths.LOCK
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def hand_over(self) -> str:
        """Fetch the experiment of the job into the project; return its commit."""
        return self._clone.hand_over(self.job.name)

    def output(self) -> str:
        """Return the end of the command's output."""
        text = processes.log_of(self.results).read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
        return "\n".join(lines[-_LINES:])

    def end(self) -> None:
        """End what runs, and remove the clone unless a worker of a cluster still uses it."""
        self._handle.end()
        _remove(self._folder)


@contextmanager
def alone(kind: str, name: str, command: str) -> Iterator[Path]:
    """Yield the folder for the clones of a command, which no other process uses meanwhile.

    `kind` and `name` are those of the folder, and `command` is what runs, in the message. What an
    earlier process left there is removed. Raises SeedlingsError if another one uses it.
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
def opened(folder: Path, commit: str, jobs: int) -> Iterator[Place]:
    """Yield the place in a folder for as many jobs at a time; it is removed afterwards."""
    try:
        with remote.choose(folder) as pool:
            yield Place(folder, commit, pool, jobs)
    finally:  # also after an error: the disk may be full
        clear(folder)


def clear(folder: Path) -> None:
    """Remove the clones that an earlier command left, but for those that a process still uses."""
    used = [found for found in folder.glob("*/") if not _remove(found)]
    if not used:
        shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> bool:
    """Remove the folder of an execution if nothing holds the lock of its clone; return whether."""
    if is_free := processes.is_free(folder / _CLONE):
        shutil.rmtree(folder, ignore_errors=True)
    return is_free


def evaluated_on(values: Mapping[str, Any], split: str) -> Values:
    """Return parameters with the split on which the models are evaluated."""
    return {**values, SPLIT: split}
