"""The study of a search: Optuna's, in a database that one process at a time writes.

A trial is finished if its experiment is in the project; the database has what no experiment has:
the parameters of trials that run, and what pruned and failed trials reached. It is in the temporary
folder of DVC. If it is lost, or the experiments differ from it, it is made anew.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from seedlings.config import params
from seedlings.errors import SeedlingsError
from seedlings.search import experiments, trials
from seedlings.search.space import Space
from seedlings.search.trials import Params
from seedlings.tracking import git, revisions

_FOLDER = Path(".dvc") / "tmp" / "searches"  # relative: a path in an address would need quoting
_NAME = "search"  # of each study: Hyperband's brackets depend on it
_ORIGIN, _TESTED = "origin", "tested"
_ATTEMPTS = 20  # suggestions of a sampler until one is new
_EPOCHS = "finetune.epochs"


class Study:
    """The trials of a search, as Optuna has them.

    `commit` and `tree` are the commit and the parameters from which the trials start. Raises
    SeedlingsError if the project has another search or other experiments with the name.
    """

    def __init__(self, name: str, space: Space, commit: str, tree: Mapping[str, Any]) -> None:
        git.check_name(name, "a --name")
        self.name, self.space, self.commit, self.tree = name, space, commit, tree
        self._file = _FOLDER / f"{name}.db"
        self._pruner = _pruner(space, tree)
        self._load()

    @property
    def trials(self) -> list[FrozenTrial]:
        """Return all trials, in the order of their numbers."""
        return self._study.get_trials(deepcopy=False)

    @property
    def running(self) -> list[FrozenTrial]:
        """Return the trials that have not ended; after a kill, those that run again."""
        return [trial for trial in self.trials if not trial.state.is_finished()]

    @property
    def best(self) -> FrozenTrial | None:
        """Return the finished trial with the best objective."""
        return next(iter(trials.best_first(self.trials, maximize=self.space.maximizes)), None)

    @property
    def tested(self) -> list[int]:
        """Return the numbers of the trials that were evaluated on test images."""
        return list(self._study.user_attrs[_TESTED])

    def mark_tested(self, trial: FrozenTrial) -> None:
        """Note that a trial is evaluated on test images."""
        if trial.number not in self.tested:
            self._study.set_user_attr(_TESTED, [*self.tested, trial.number])

    def begin(self) -> FrozenTrial | None:
        """Return a new trial with the next suggestion, or None if all settings were tried."""
        found = self._suggest()
        return None if found is None else self._add(found)

    def report(self, trial: FrozenTrial, curve: Sequence[float]) -> FrozenTrial:
        """Return a running trial with the values after its epochs, or pruned if the pruner says so.

        `curve` has all epochs so far.
        """
        if any(self._reported(trial, curve)):
            self._study.tell(trial.number, state=TrialState.PRUNED)
        return self.trials[trial.number]

    def finish(
        self, trial: FrozenTrial, metrics: Mapping[str, float], experiment: str
    ) -> FrozenTrial:
        """Return a trial as finished, with its metrics and the commit of its experiment."""
        value = metrics[self.space.metric]
        return self._end(trial, value, metrics=dict(metrics), experiment=experiment)

    def fail(self, trial: FrozenTrial, reason: str) -> FrozenTrial:
        """Return a trial as failed."""
        return self._end(trial, None, reason=reason)

    def _end(self, trial: FrozenTrial, value: float | None, **attributes: Any) -> FrozenTrial:
        running = self._taken_up(trial)
        for key, attribute in attributes.items():
            running.set_user_attr(key, attribute)
        self._study.tell(running, value, state=TrialState.FAIL if value is None else None)
        return self.trials[trial.number]

    def _add(self, found: Params, state: TrialState = TrialState.RUNNING) -> FrozenTrial:
        """Add a trial in one step, so that a kill leaves all its parameters or none."""
        self._study.add_trial(self.space.trial(found, state))
        return self.trials[-1]

    def _taken_up(self, trial: FrozenTrial) -> Trial:
        """Return a running trial to report to, also one that another process began."""
        return Trial(self._study, trial._trial_id)

    def _reported(self, trial: FrozenTrial, curve: Sequence[float]) -> Iterator[bool]:
        """Report the epochs that a trial has not reported; yield whether the pruner stops it.

        The pruner is asked after each of them: it keeps values that it compares others with.
        """
        running = self._taken_up(trial)
        for epoch in range(len(trial.intermediate_values) + 1, len(curve) + 1):
            running.report(curve[epoch - 1], epoch)
            yield running.should_prune()

    def _suggest(self, taken: Collection[Params] = ()) -> Params | None:
        """Return the parameters of the next trial, or None if all settings were tried.

        No setting is suggested twice, nor one of those `taken`. The result depends on the space,
        its seed, the trials and their number alone.
        """
        tried = [*taken, *(trial.params for trial in self.trials)]
        suggestions = itertools.chain(self._sampled(), self.space.settings())
        return next((found for found in suggestions if found not in tried), None)

    def _sampled(self) -> Iterator[Params]:
        """Yield some suggestions of the sampler, and random ones; none for a grid.

        The sampler is made anew for each trial: one that goes on after a kill would repeat itself.
        """
        samplers, parameters = optuna.samplers, self.space.parameters
        kinds = {
            "tpe": [samplers.TPESampler, samplers.RandomSampler],
            "random": [samplers.RandomSampler],
            "grid": [],
        }
        numbers = np.random.SeedSequence([self.space.seed, len(self.trials) + 1])
        seed = int(numbers.generate_state(1)[0])
        known = {key: entry.distribution for key, entry in parameters.items()}
        for sampler in kinds[self.space.sampler]:
            draft = self._new(sampler(seed=seed))
            draft.add_trials(self.trials)
            for _ in range(_ATTEMPTS):
                asked = self.space.active(draft.ask(known).params)
                yield {key: parameters[key].rounded(value) for key, value in asked.items()}

    def _new(self, sampler: optuna.samplers.BaseSampler | None = None) -> optuna.Study:
        """Return a study in memory."""
        return optuna.create_study(
            study_name=_NAME,
            direction=self.space.direction,
            pruner=self._pruner,
            sampler=sampler,
        )

    def _load(self) -> None:
        """Open the study in the database, which is made anew if it is lost or not current."""
        commits = {
            number: commit
            for experiment, commit in git.commits_of(self.commit).items()
            if (number := trials.number_in(self.name, experiment)) is not None
        }
        origin = {"commit": self.commit, "space": self.space.model_dump(mode="json")}
        known: list[FrozenTrial] = []
        tested: list[int] = []
        if self._file.exists():
            self._study = self._open()
            if self._study.user_attrs[_ORIGIN] != origin:
                raise SeedlingsError(_explain(self.name, self._study.user_attrs[_ORIGIN], origin))
            known, tested = self.trials, self.tested
        ended = {trial.number: trial for trial in known if _has_ended(trial, commits)}
        if known and len(ended) == len(known) > max(commits, default=0):
            return
        self._study = self._new()
        self._study.set_user_attr(_ORIGIN, origin)
        self._study.set_user_attr(_TESTED, tested)
        self._fill(known, ended, commits)
        self._write()
        self._study = self._open()

    def _fill(
        self,
        known: Sequence[FrozenTrial],
        ended: Mapping[int, FrozenTrial],
        commits: Mapping[int, str],
    ) -> None:
        """Add the trials that have ended, those of other experiments, and those that run again.

        A trial that was at work begins again without its epochs, as its training does. One that the
        database has lost, as it did not finish, is suggested again.
        """
        found = {n: revisions.at(commit) for n, commit in commits.items() if n not in ended}
        taken = {n: experiments.parameters(self.space, self.tree, r) for n, r in found.items()}
        for number in range(max(len(known), *(n + 1 for n in commits), 0)):
            if number in ended:
                self._study.add_trial(ended[number])
            elif number in found:
                self._add_finished(taken[number], found[number])
            elif number < len(known):
                self._add(known[number].params)
            elif (again := self._suggest([*taken.values()])) is not None:
                self._add(again)
            else:
                self._add({}, TrialState.FAIL)

    def _add_finished(self, found: Params, revision: revisions.Revision) -> None:
        """Add the finished trial that an experiment is."""
        trial = self._add(found)
        with revision.files(experiments.RECORDS) as folder:
            metrics, curve = experiments.results(self.space, self.tree["task"], folder)
        for _ in self._reported(trial, curve):  # it was not stopped
            pass
        self.finish(trial, metrics, revision.commit)

    def _open(self) -> optuna.Study:
        try:
            return optuna.load_study(
                study_name=_NAME, storage=f"sqlite:///{self._file}", pruner=self._pruner
            )
        except RuntimeError as error:  # of another version of Optuna
            raise SeedlingsError(_unusable(self.name, error)) from error

    def _write(self) -> None:
        """Put the study in memory in place of the database, in one step."""
        new = self._file.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.parent.mkdir(parents=True, exist_ok=True)
        optuna.copy_study(
            from_study_name=_NAME, from_storage=self._study._storage, to_storage=f"sqlite:///{new}"
        )
        new.replace(self._file)


@contextmanager
def stored(name: str) -> Iterator[None]:
    """Raise SeedlingsError if the database of a search cannot be read or written meanwhile."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        raise SeedlingsError(_unusable(name, error)) from error


def _has_ended(trial: FrozenTrial, commits: Mapping[int, str]) -> bool:
    """Return whether a trial has ended, with the experiment that the project has now, or none."""
    experiment = commits.get(trial.number)
    return trial.state.is_finished() and trial.user_attrs.get("experiment") == experiment


def _pruner(space: Space, tree: Mapping[str, Any]) -> optuna.pruners.BasePruner:
    entry = space.parameters.get(_EPOCHS)
    most = max(entry.ends) if entry else params.flatten(tree)[_EPOCHS]
    pruners = optuna.pruners
    made = {
        "none": pruners.NopPruner,
        "median": partial(pruners.MedianPruner, n_startup_trials=5, n_warmup_steps=3),
        "successive_halving": partial(pruners.SuccessiveHalvingPruner, min_resource=1),
        "hyperband": partial(pruners.HyperbandPruner, min_resource=1, max_resource=max(most, 1)),
    }
    return made[space.pruner]()


def _unusable(name: str, error: Exception) -> str:
    file = _FOLDER / f"{name}.db"
    return (
        f"expected to read and write the trials of the search in {file}, found {error}; is the "
        "disk full? If the file is damaged, remove it: finished trials are read from their "
        "experiments, and the others run again"
    )


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
