"""The study of a search: Optuna's, in a database that one process at a time writes.

A trial is finished if its experiment is in the project; the database has what no experiment has:
the parameters of trials that run, and what pruned and failed trials reached. It is in the temporary
folder of DVC. If it is lost, or the experiments differ from it, it is made anew.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from seedlings.config import params
from seedlings.errors import SeedlingsError
from seedlings.search import experiments, trials
from seedlings.search.space import Entry, Space
from seedlings.search.trials import State, Trial, Values, identity
from seedlings.tracking import git

optuna.logging.set_verbosity(optuna.logging.WARNING)

_FOLDER = Path(".dvc") / "tmp" / "searches"  # relative: a path in an address would need quoting
_NAME = "search"  # of each study: Hyperband's brackets depend on it
_ORIGIN, _TESTED = "origin", "tested"
_ATTEMPTS = 20  # suggestions of the sampler until one is new
_EPOCHS = "finetune.epochs"
_STATES: dict[State, TrialState] = {
    "running": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_NAMES = {state: name for name, state in _STATES.items()}


class Study:
    """The trials of a search, in the order of their numbers, which begin with 1.

    `commit` and `tree` are the commit and the parameters from which the trials start. Raises
    SeedlingsError if the project has another search or other experiments with the name.
    """

    def __init__(self, name: str, space: Space, commit: str, tree: Mapping[str, Any]) -> None:
        git.check_name(name, "a --name")
        self.name, self.space, self.commit, self.tree = name, space, commit, tree
        self._file = _FOLDER / f"{name}.db"
        with stored(name):
            self._study = self._load()

    def __iter__(self) -> Iterator[Trial]:
        return (self._seen(trial) for trial in self._study.get_trials(deepcopy=False))

    def __len__(self) -> int:
        return len(self._study.get_trials(deepcopy=False))

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
        return list(self._study.user_attrs[_TESTED])

    def mark_tested(self, trial: Trial) -> None:
        """Note that a trial is evaluated on test images."""
        if trial.number not in self.tested:
            self._study.set_user_attr(_TESTED, [*self.tested, trial.number])

    def begin(self) -> Trial | None:
        """Return a new trial with the next suggestion, or None if all settings were tried."""
        values = _suggest(self._study, self.space)
        if values is None:
            return None
        _add(self._study, self.space, Trial(len(self) + 1, values))
        return self._get(len(self))

    def report(self, trial: Trial, curve: Sequence[float]) -> Trial:
        """Return a running trial with the values after its epochs, or pruned if the pruner says so.

        `curve` has all epochs so far. Without a pruner, they are kept when the trial finishes.
        """
        if self.space.pruner != "none" and _stops(_taken_up(self._study, trial.number), curve):
            self._tell(trial, TrialState.PRUNED)
        return self._get(trial.number)

    def finish(self, trial: Trial) -> None:
        """Keep a trial as finished, with its curve, its value, and the commit of its experiment."""
        _finish(self._study, trial)

    def fail(self, trial: Trial, reason: str) -> Trial:
        """Return a trial as failed."""
        _taken_up(self._study, trial.number).set_user_attr("reason", reason)
        self._tell(trial, TrialState.FAIL)
        return self._get(trial.number)

    def _tell(self, trial: Trial, state: TrialState) -> None:
        self._study.tell(trial.number - 1, state=state)

    def _get(self, number: int) -> Trial:
        return self._seen(self._study.get_trials(deepcopy=False)[number - 1])

    def _seen(self, found: FrozenTrial) -> Trial:
        """Return a trial of Optuna as one of ours."""
        return Trial(
            found.number + 1,
            _values(self.space, found),
            _NAMES[found.state],
            value=found.value if found.state == TrialState.COMPLETE else None,
            curve=[found.intermediate_values[n] for n in sorted(found.intermediate_values)],
            **found.user_attrs,
        )

    def _load(self) -> optuna.Study:
        """Return the study in the database, which is made anew if it is lost or not current."""
        commits = {
            number: commit
            for experiment, commit in git.commits_of(self.commit).items()
            if (number := trials.number_in(self.name, experiment)) is not None
        }
        origin = {"commit": self.commit, "space": json.loads(self.space.model_dump_json())}
        known, tested = [], []
        if self._file.exists():
            study = self._open()
            if study.user_attrs[_ORIGIN] != origin:
                raise SeedlingsError(_explain(self.name, study.user_attrs[_ORIGIN], origin))
            known, tested = study.get_trials(deepcopy=False), study.user_attrs[_TESTED]
            if _is_current(known, commits):
                return study
        filled = self._filled(known, commits)
        filled.set_user_attr(_ORIGIN, origin)
        filled.set_user_attr(_TESTED, tested)
        self._write(filled)
        return self._open()

    def _open(self) -> optuna.Study:
        try:
            return optuna.load_study(
                study_name=_NAME,
                storage=f"sqlite:///{self._file}",
                sampler=optuna.samplers.RandomSampler(seed=0),  # not asked: see `_suggest`
                pruner=_pruner(self.space, self.tree),
            )
        except RuntimeError as error:  # of another version of Optuna
            raise SeedlingsError(_unusable(self.name, error)) from error

    def _filled(self, known: Sequence[FrozenTrial], commits: Mapping[int, str]) -> optuna.Study:
        """Return a study in memory with what the database knows and what the experiments say.

        A trial that was at work begins again without its epochs, as its training does. One that the
        database has lost, as it did not finish, is suggested again.
        """
        study = _new(self.space, pruner=_pruner(self.space, self.tree))
        before = dict(enumerate(known, 1))
        done = {
            number: experiments.trial(self.space, self.tree, commit, number)
            for number, commit in commits.items()
            if number not in before or not _has_ended(before[number], commit)
        }
        taken = {identity(trial.values) for trial in done.values()}
        for number in range(1, max([*before, *done], default=0) + 1):
            if number in done:
                _add(study, self.space, Trial(number, done[number].values))
                _finish(study, done[number])
            elif number not in before:
                values = _suggest(study, self.space, taken)
                state: State = "failed" if values is None else "running"
                _add(study, self.space, Trial(number, values or {}, state))
            elif _has_ended(before[number], commits.get(number)):
                study.add_trial(before[number])
            else:
                _add(study, self.space, Trial(number, _values(self.space, before[number])))
        return study

    def _write(self, study: optuna.Study) -> None:
        """Put a study in memory in place of the database, in one step."""
        new = self._file.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.parent.mkdir(parents=True, exist_ok=True)
        optuna.copy_study(
            from_study_name=_NAME, from_storage=study._storage, to_storage=f"sqlite:///{new}"
        )
        new.replace(self._file)


@contextmanager
def stored(name: str) -> Iterator[None]:
    """Raise SeedlingsError if the database of a search cannot be read or written meanwhile."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        raise SeedlingsError(_unusable(name, error)) from error


def frozen(space: Space, trial: Trial) -> FrozenTrial:
    """Return a trial as one of Optuna."""
    entries = {key: space.parameters[key] for key in trial.values}
    # Optuna reads the last value of the curve of a pruned trial; one without a curve has no value.
    is_empty = trial.state == "pruned" and not trial.curve
    return create_trial(
        state=TrialState.FAIL if is_empty else _STATES[trial.state],
        value=trial.value if trial.state == "finished" else None,
        params={key: _inside(entry, trial.values[key]) for key, entry in entries.items()},
        distributions={key: _distribution(entry) for key, entry in entries.items()},
        intermediate_values=dict(enumerate(trial.curve, 1)),
    )


def _new(space: Space, **others: Any) -> optuna.Study:
    return optuna.create_study(study_name=_NAME, direction=space.direction, **others)


def _add(study: optuna.Study, space: Space, trial: Trial) -> None:
    """Add a trial to a study in one step, so that a kill leaves all its parameters or none."""
    study.add_trial(frozen(space, trial))


def _taken_up(study: optuna.Study, number: int) -> optuna.Trial:
    """Return a trial of a study by its number, to report to it."""
    return optuna.trial.Trial(study, study.get_trials(deepcopy=False)[number - 1]._trial_id)


def _finish(study: optuna.Study, trial: Trial) -> None:
    running = _taken_up(study, trial.number)
    _stops(running, trial.curve, asked=False)
    for key in ("low", "high", "experiment"):
        running.set_user_attr(key, getattr(trial, key))
    study.tell(running, trial.value)


def _stops(running: optuna.Trial, curve: Sequence[float], *, asked: bool = True) -> bool:
    """Report the epochs that a trial has not reported; return whether the pruner stops it.

    The pruner sees each epoch, also if it is not `asked`: it keeps values that it compares others
    with.
    """
    known = running.study.get_trials(deepcopy=False)[running.number]
    for epoch in range(len(known.intermediate_values) + 1, len(curve) + 1):
        running.report(curve[epoch - 1], epoch)
        if running.should_prune() and asked:
            return True
    return False


def _has_ended(trial: FrozenTrial, commit: str | None) -> bool:
    """Return whether a trial has ended, with `commit` as its experiment; None if it has none."""
    return trial.state.is_finished() and trial.user_attrs.get("experiment") == commit


def _is_current(known: Sequence[FrozenTrial], commits: Mapping[int, str]) -> bool:
    """Return whether a database agrees with the experiments, and no trial was in its training.

    A trial that runs again reports its epochs again, which Optuna ignores.
    """
    return max(commits, default=0) <= len(known) and all(
        _has_ended(trial, commits.get(number))
        if trial.state.is_finished()
        else number not in commits and not trial.intermediate_values
        for number, trial in enumerate(known, 1)
    )


def _suggest(
    study: optuna.Study, space: Space, taken: Collection[str] = frozenset()
) -> Values | None:
    """Return the parameters of the next trial, or None if all settings of the space were tried.

    No setting is suggested twice, nor one of the identities `taken`. The result depends on the
    space, its seed, the trials and their number alone: the sampler is made anew each time.
    """
    known = study.get_trials(deepcopy=False)
    tried = {*taken, *(identity(_values(space, trial)) for trial in known)}
    points = space.points()
    if space.sampler == "grid":
        return next((x for x in points or () if identity(x) not in tried), None)
    seed = int(np.random.SeedSequence([space.seed, len(known) + 1]).generate_state(1)[0])
    for sampler in (_sampler(space, seed), optuna.samplers.RandomSampler(seed=seed)):
        draft = _new(space, sampler=sampler, pruner=study.pruner)
        draft.add_trials(known)
        for _ in range(_ATTEMPTS):
            values = space.draw(partial(_asked, draft.ask()))
            if identity(values) not in tried:
                return values
    rest = [values for values in points or () if identity(values) not in tried]
    return rest[np.random.default_rng(seed).integers(len(rest))] if rest else None


def _asked(trial: optuna.Trial, key: str, entry: Entry) -> Any:
    if entry.choices is not None:
        return json.loads(trial.suggest_categorical(key, [*map(json.dumps, entry.choices)]))
    low, high = entry.range
    if entry.is_whole:
        return trial.suggest_int(key, low, high, log=entry.log, step=entry.step or 1)
    return trial.suggest_float(key, low, high, log=entry.log, step=entry.step)


def _distribution(entry: Entry) -> BaseDistribution:
    if entry.choices is not None:
        return CategoricalDistribution([json.dumps(choice) for choice in entry.choices])
    low, high = entry.range
    if entry.is_whole:
        return IntDistribution(low, high, log=entry.log, step=entry.step or 1)
    return FloatDistribution(low, high, log=entry.log, step=entry.step)


def _inside(entry: Entry, value: Any) -> Any:
    """Return a value as Optuna has it: it knows no choices that are lists."""
    return json.dumps(value) if entry.choices is not None else value


def _values(space: Space, trial: FrozenTrial) -> Values:
    """Return the parameters of a trial of Optuna, in the order of the space."""
    return {
        key: trial.params[key] if entry.choices is None else json.loads(trial.params[key])
        for key, entry in space.parameters.items()
        if key in trial.params
    }


def _sampler(space: Space, seed: int) -> optuna.samplers.BaseSampler:
    if space.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def _pruner(space: Space, tree: Mapping[str, Any]) -> optuna.pruners.BasePruner:
    entry = space.parameters.get(_EPOCHS)
    most = max(entry.extremes) if entry else params.flatten(tree)[_EPOCHS]
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
