"""The study: Optuna's samplers, pruners and figures, as functions of the trials so far.

Optuna keeps nothing here: a study is built from the trials whenever it is asked, so that a search
that was killed goes on with the same suggestions.
"""

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
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
from optuna.visualization import matplotlib as plots

from seedlings.search import pictures
from seedlings.search.space import Entry, Space
from seedlings.search.trials import Trial, Values, finished, identity, labels

optuna.logging.set_verbosity(optuna.logging.WARNING)

_ATTEMPTS = 20  # suggestions of the sampler until one is new
_RUNG = "completed_rung_"  # of the names in which Optuna's successive halving keeps its values
_STATES = {
    "running": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def suggest(space: Space, trials: Sequence[Trial], number: int) -> Values | None:
    """Return the parameters of trial `number`, or None if all settings of the space were tried.

    No setting is suggested twice. The result depends on the space, its seed, the trials and the
    number alone.
    """
    tried = {identity(trial.values) for trial in trials}
    points = space.points()
    if space.sampler == "grid":
        return next((x for x in points or () if identity(x) not in tried), None)
    seed = int(np.random.SeedSequence([space.seed, number]).generate_state(1)[0])
    samplers = [_sampler(space, seed), optuna.samplers.RandomSampler(seed=seed)]
    for study in (build(space, trials, sampler) for sampler in samplers):
        for _ in range(_ATTEMPTS):
            asked = study.ask()
            values = space.draw(partial(_suggested, asked))
            if identity(values) not in tried:
                return values
    rest = [values for values in points or () if identity(values) not in tried]
    return rest[np.random.default_rng(seed).integers(len(rest))] if rest else None


def prune(space: Space, trials: Sequence[Trial], trial: Trial) -> Trial:
    """Return a trial with its rungs, and as pruned if the pruner stops it after one of its epochs.

    The pruner compares the curve of the trial with those of the other trials that have ended.
    """
    if space.pruner == "none":
        return trial
    others = [other for other in trials if other.is_over and other.number != trial.number]
    study = build(space, others, optuna.samplers.RandomSampler(seed=0), _pruner(space))
    study.add_trial(_frozen(space, replace(trial, state="running", curve=[])))
    running = optuna.trial.Trial(study, study.get_trials(deepcopy=False)[-1]._trial_id)
    epochs = _stop(running, trial.curve)
    attributes = study.get_trials(deepcopy=False)[-1].system_attrs
    rungs = {key: value for key, value in attributes.items() if key.startswith(_RUNG)}
    trial = replace(trial, rungs=rungs)
    return trial if epochs is None else trial.pruned(epochs)


def _stop(running: optuna.Trial, curve: Sequence[float]) -> int | None:
    """Return the number of epochs after which the pruner stops a trial, or None."""
    for epoch, value in enumerate(curve, 1):
        running.report(value, epoch)
        if running.should_prune():
            return epoch
    return None


def build(
    space: Space,
    trials: Iterable[Trial],
    sampler: optuna.samplers.BaseSampler | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
) -> optuna.Study:
    """Return a study in memory that has these trials, in the order of their numbers."""
    study = optuna.create_study(sampler=sampler, pruner=pruner, direction=space.direction)
    study.add_trials(_frozen(space, t) for t in sorted(trials, key=lambda t: t.number))
    return study


def figures(space: Space, trials: Sequence[Trial]) -> dict[str, bytes]:
    """Return Optuna's plots of a search by their titles, as PNG.

    A plot that needs more finished trials, parameters or curves is absent. Equal trials give equal
    bytes.
    """
    ended, names = finished(trials), labels([*space.parameters])
    used = {names[key]: [t.values[key] for t in ended if key in t.values] for key in names}
    varied = [name for name, found in used.items() if len({identity({"": v}) for v in found}) > 1]
    # Optuna does not compute an importance if a single trial has no value of the parameter.
    known = [name for name in varied if len(used[name]) != len(ended) - 1]
    differ = len({trial.value for trial in ended}) > 1
    has_curves = any(len(trial.curve) > 1 for trial in trials)
    draw = partial(_drawn, study=_readable(space, trials, names))
    plot = partial(draw, target_name=space.objective)
    important = {"params": known, "evaluator": optuna.importance.PedAnovaImportanceEvaluator()}
    drawn = {
        "Optimization history": ended and plot(plots.plot_optimization_history, pictures.history),
        "Parameter importances": differ
        and len(known) > 1
        and plot(plots.plot_param_importances, pictures.importances, **important),
        "Slice": varied and plot(plots.plot_slice, pictures.slices, params=varied),
        "Parallel coordinates": len(varied) > 1
        and plot(plots.plot_parallel_coordinate, pictures.parallel, params=varied),
        "Values after each epoch": has_curves
        and draw(plots.plot_intermediate_values, pictures.curves),
    }
    return {title: picture for title, picture in drawn.items() if picture}


def _drawn(plot: Callable[..., Any], finish: Callable[[Any], None], **arguments: Any) -> bytes:
    """Return the picture that Optuna plots and `finish` makes readable."""
    with pictures.drawing(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        axes = plot(**arguments)
        finish(axes)
        return pictures.png(axes)


def _readable(space: Space, trials: Sequence[Trial], names: Mapping[str, str]) -> optuna.Study:
    """Return a study with short names of parameters, in which trials have their numbers."""
    entries = {names[key]: entry for key, entry in space.parameters.items()}
    study = optuna.create_study(direction=space.direction)
    known = {trial.number: trial for trial in trials}
    for number in range(max(known, default=0) + 1):
        if number not in known:  # Optuna's numbers have no gaps, and begin with 0
            study.add_trial(create_trial(state=TrialState.FAIL))
            continue
        trial = known[number]
        values = {names[key]: value for key, value in trial.values.items()}
        short = space.model_copy(update={"parameters": entries})
        study.add_trial(_frozen(short, replace(trial, values=values)))
    return study


def _frozen(space: Space, trial: Trial) -> FrozenTrial:
    found = {key: _distribution(space.parameters[key]) for key in trial.values}
    values = {k: _inside(space.parameters[k], value) for k, value in trial.values.items()}
    # Optuna reads the last value of the curve of a pruned trial; one without a curve has no value.
    is_empty = trial.state == "pruned" and not trial.curve
    return create_trial(
        state=TrialState.FAIL if is_empty else _STATES[trial.state],
        value=trial.value if trial.state == "finished" else None,
        params=values,
        distributions=found,
        intermediate_values=dict(enumerate(trial.curve, 1)),
        system_attrs=trial.rungs,
    )


def _distribution(entry: Entry) -> BaseDistribution:
    if entry.choices is not None:
        return CategoricalDistribution([json.dumps(choice) for choice in entry.choices])
    low, high = entry.range
    if entry.is_whole:
        return IntDistribution(low, high, log=entry.log, step=entry.step or 1)
    return FloatDistribution(low, high, log=entry.log, step=entry.step)


def _inside(entry: Entry, value: Any) -> Any:
    """Return a value as Optuna's distribution of the parameter has it."""
    return json.dumps(value) if entry.choices is not None else value


def _suggested(asked: optuna.Trial, key: str, entry: Entry) -> Any:
    if entry.choices is not None:
        return json.loads(asked.suggest_categorical(key, [*map(json.dumps, entry.choices)]))
    low, high = entry.range
    if entry.is_whole:
        return asked.suggest_int(key, low, high, log=entry.log, step=entry.step or 1)
    return asked.suggest_float(key, low, high, log=entry.log, step=entry.step)


def _sampler(space: Space, seed: int) -> optuna.samplers.BaseSampler:
    if space.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def _pruner(space: Space) -> optuna.pruners.BasePruner:
    if space.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3)
    return optuna.pruners.SuccessiveHalvingPruner()
