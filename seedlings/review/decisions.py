"""Decisions of the person at the page: saved in data/corrections.csv one by one, and undone.

The file is read before each change, as Git or an editor may have changed it in the meantime, and
it is replaced by one rename.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from seedlings.data import corrections, names
from seedlings.data.corrections import Decision
from seedlings.errors import SeedlingsError
from seedlings.io.path_filters import flaw_of
from seedlings.review.queue import Item
from seedlings.tasks import Task

Lines = dict[str, list[Decision]]  # by the digest of the image


class _Change(NamedTuple):
    digest: str
    path: str
    before: list[Decision]
    after: list[Decision]


class DecisionFile:
    """The file of the decisions, and the changes of this process, which can be undone.

    `by` is the name of the person. Two pages can share a file, also those of two processes: each
    change is made under the lock in the file `lock`.
    """

    def __init__(
        self, path: Path, task: Task, *, by: str, lock: Path, now: Callable[[], str] | None = None
    ) -> None:
        lock.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._task, self._by = path, task, by
        self._lock, self._now = FileLock(lock), now or _now
        self._changes: list[_Change] = []

    def read(self) -> Lines:
        """Return all decisions; none if there is no file. Raises SeedlingsError for a bad file."""
        if not self._path.is_file():
            return {}
        found: Lines = {}
        for decision in corrections.read(self._path, self._task).values():
            found.setdefault(decision.digest, []).append(decision)
        return found

    def decide(self, item: Item, new: str) -> None:
        """Save the decision about an image: a label, or `drop`; it replaces an earlier one.

        An image with several labels, as its file is in several folders, has a line for each of
        them. Raises SeedlingsError if `new` is no label.
        """
        new = new if new == corrections.DROP else self._label(new)
        when = self._now()
        lines = [
            Decision(item.digest, item.path, old, new, self._by, when) for old in item.originals
        ]
        self._change(item.digest, item.path, lines)

    def remove(self, item: Item) -> None:
        """Remove the decision about an image, if there is one."""
        self._change(item.digest, item.path, [])

    def undo(self) -> str | None:
        """Undo the last change of this process; return the digest of its image, or None.

        Raises SeedlingsError, and forgets the change, if the decision has changed since.
        """
        if not self._changes:
            return None
        change = self._changes.pop()
        with self._lock:
            found = self.read()
            if sorted(found.get(change.digest, [])) != sorted(change.after):
                raise SeedlingsError(
                    f"{self._path}: expected the last decision about {change.path}, found another "
                    "one, of another person or program; it is not undone"
                )
            self._write(found, change.digest, change.before)
        return change.digest

    @property
    def last(self) -> str:
        """The last change of this process that is not undone, in words; empty if there is none."""
        if not self._changes:
            return ""
        path, after = self._changes[-1].path, self._changes[-1].after
        return f"{path}: {after[0].old} → {after[0].new}" if after else f"{path}: no decision"

    def _label(self, text: str) -> str:
        label = names.normal(text)
        if flaw := flaw_of(label):
            raise SeedlingsError(f"the label {label!r} {flaw}")
        if problem := self._task.problem(label):
            raise SeedlingsError(f"the label: {problem}")
        return label

    def _change(self, digest: str, path: str, lines: list[Decision]) -> None:
        with self._lock:
            found = self.read()
            before = found.get(digest, [])
            self._write(found, digest, lines)
        self._changes.append(_Change(digest, path, before, lines))

    def _write(self, found: Lines, digest: str, lines: list[Decision]) -> None:
        kept = {**found, digest: lines}
        corrections.write(self._path, [decision for one in kept.values() for decision in one])


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
