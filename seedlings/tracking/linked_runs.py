"""Linked runs: a run in MLflow for a command that makes several experiments, and links to theirs.

Each experiment is a revision of the pipeline, with a run of its own as any other; tags link it to
the run of the command.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from seedlings.errors import SeedlingsError
from seedlings.tracking import client, revisions, sync
from seedlings.tracking.tags import BASELINE, COMMIT, LOCK, TRIAL


class LinkedRuns:
    """The run of a command. If MLflow fails, it prints one warning, and the command goes on.

    `tag` has the name of the search or the repeats, on the run of the command and on those of the
    experiments, and `commit` is the commit from which they started.
    """

    def __init__(self, name: str, commit: str, *, tag: str, params: Mapping[str, Any]) -> None:
        self._name, self._commit, self._params = name, commit, params
        self._tags = {tag: name, BASELINE: commit}  # those of two commits may have one name
        self._run = ""
        self._known: set[str] = set()  # names of the experiments that are logged
        self._failed = False

    def _safely(self, action: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            with client.reachable():
                action()
        except SeedlingsError as error:
            self._failed = True
            print(
                f"warning: {error}\nThe command continues; the same command logs it later.",
                file=sys.stderr,
            )

    def _open(self) -> client.Tracker:
        """Return the tracker; find or start the run of the command."""
        tracker = client.Tracker()
        if not self._run:
            runs = tracker.runs(self._tags)
            self._known = {run.data.tags[TRIAL] for run in runs if TRIAL in run.data.tags}
            own = [run.info.run_id for run in runs if TRIAL not in run.data.tags]
            tags = {**self._tags, COMMIT: self._commit}
            self._run = own[0] if own else tracker.start(self._name, tags=tags, params=self._params)
            tracker.update_run(self._run, "RUNNING")
        return tracker

    def _publish(self, tracker: client.Tracker, name: str, *, models: bool) -> None:
        """Log an experiment as a revision, and link its run to that of the command."""
        revision = revisions.at(name, self._commit)
        _, missing = sync.publish([revision], models=models)
        if missing:
            raise SeedlingsError(missing[0])
        [run] = tracker.runs({LOCK: revision.digest})
        tracker.set_tags(run.info.run_id, {**self._tags, TRIAL: name})
        self._known.add(name)
