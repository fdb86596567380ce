"""The history of a search: its trials, kept in Git so that the search goes on after a kill.

A trial is finished if its experiment is in the project. Refs of the search keep the rest: the
parameters of trials that run, and what pruned and failed trials reached.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from seedlings.errors import SeedlingsError
from seedlings.search import experiments, refs, study, trials
from seedlings.search.space import Space
from seedlings.search.trials import Trial, Values
from seedlings.tracking import git

_ORIGIN, _TESTED = "origin", "tested"


class History:
    """The trials of a search, in the order of their numbers.

    `commit` and `tree` are the commit and the parameters from which the trials start. Raises
    SeedlingsError if the project has another search or other experiments with the name.
    """

    def __init__(self, name: str, space: Space, commit: str, tree: Mapping[str, Any]) -> None:
        self.name, self.space, self.commit, self.tree = name, space, commit, tree
        git.check_name(name, "a --name")
        known = refs.read(name)
        origin = json.dumps({"commit": commit, "space": space.model_dump()}, sort_keys=True)
        if known.get(_ORIGIN, origin) != origin:
            raise SeedlingsError(_explain(name, json.loads(known[_ORIGIN]), json.loads(origin)))
        self._trials = self._recover(known)
        self._tested: list[int] = json.loads(known.get(_TESTED, "[]"))
        if _ORIGIN not in known:
            refs.write(name, _ORIGIN, origin)

    def __iter__(self) -> Iterator[Trial]:
        return iter([self._trials[number] for number in sorted(self._trials)])

    def __len__(self) -> int:
        return len(self._trials)

    @property
    def running(self) -> list[Trial]:
        """Return the trials that have not ended; after a kill, those that run again."""
        return [trial for trial in self if not trial.is_over]

    @property
    def best(self) -> Trial | None:
        """Return the finished trial with the best objective."""
        return next(iter(trials.best_first(self, maximize=self.space.maximizes)), None)

    @property
    def tested(self) -> list[int]:
        """Return the numbers of the trials that were evaluated on test images."""
        return list(self._tested)

    def write(self, trial: Trial) -> None:
        """Keep a trial, in place of an earlier one with its number."""
        refs.write(self.name, f"{trial.number:04d}", trial.text())
        self._trials[trial.number] = trial

    def begin(self) -> Trial | None:
        """Return a new trial with the next suggestion, or None if all settings were tried."""
        number = max(self._trials, default=0) + 1
        values: Values | None = study.suggest(self.space, list(self), number)
        if values is None:
            return None
        trial = Trial(number, values)
        self.write(trial)
        return trial

    def mark_tested(self, trial: Trial) -> None:
        """Note that a trial is evaluated on test images."""
        if trial.number not in self._tested:
            self._tested.append(trial.number)
            refs.write(self.name, _TESTED, json.dumps(self._tested))

    def _recover(self, known: Mapping[str, str]) -> dict[int, Trial]:
        """Return the trials of refs and of experiments, which decide which are finished."""
        found = {int(ref): trials.parse(text) for ref, text in known.items() if ref.isdigit()}
        commits = {
            number: commit
            for experiment, commit in git.commits_of(self.commit).items()
            if (number := trials.number_in(self.name, experiment)) is not None
        }
        for number, commit in sorted(commits.items()):
            if number not in found or found[number].experiment != commit:
                trial = experiments.trial(self.space, self.tree, commit, number)
                before = [found[earlier] for earlier in found if earlier < number]
                rungs = study.prune(self.space, before, trial).rungs
                found[number] = replace(trial, rungs=rungs)
        for number, trial in found.items():
            if trial.state == "finished" and number not in commits:  # it was removed
                found[number] = replace(trial, state="running", rungs={})
        return found


def _explain(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return why a search cannot go on."""
    rest = "choose another --name"
    if before["commit"] != now["commit"]:
        return (
            f"expected the commit {before['commit'][:7]}, from which the search {name} started, "
            f"found {now['commit'][:7]}; check it out to go on, or {rest}"
        )
    different = [key for key in now["space"] if before["space"].get(key) != now["space"][key]]
    return (
        f"expected the space with which the search {name} started, found another "
        f"({', '.join(different)}); {rest}"
    )
