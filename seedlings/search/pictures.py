"""Pictures: the plots of Optuna, of a study with short names of the parameters."""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from matplotlib import pyplot
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from optuna.visualization import matplotlib as plots

from seedlings.plots import texts
from seedlings.search import trials
from seedlings.search.space import Space

_LEGEND = 20  # trials in a legend; there are no more colours


def figures(space: Space, tried: Sequence[FrozenTrial]) -> dict[str, bytes]:
    """Return Optuna's plots of a search by their titles, as PNG.

    A plot that needs more finished trials, parameters or curves is absent. Equal trials give equal
    bytes.
    """
    names = trials.labels([*space.parameters])
    study = _named(space, tried, names)
    ended = trials.finished(study.get_trials(deepcopy=False))
    used = {name: [t.params[name] for t in ended if name in t.params] for name in names.values()}
    varied = [name for name, values in used.items() if len({*values}) > 1]
    # Optuna does not compute an importance if a single trial has no value of the parameter.
    known = [name for name in varied if len(used[name]) != len(ended) - 1]
    target = {"target_name": space.objective}
    found: dict[str, bytes] = {}
    if ended:
        with _drawn(found, "Optimization history"):
            plots.plot_optimization_history(study, **target)
            pyplot.locator_params(axis="x", integer=True)
    if len(known) > 1 and len({trial.value for trial in ended}) > 1:
        with _drawn(found, "Parameter importances"):
            plots.plot_param_importances(study, params=known, **target)
    if varied:
        with _drawn(found, "Slice"):
            axes = plots.plot_slice(study, params=varied, **target)
            for part in np.atleast_1d(axes):
                part.tick_params(axis="x", which="both", labelrotation=40)
    if len(varied) > 1:
        with _drawn(found, "Parallel coordinates", width=2.4 * len(varied)):
            plots.plot_parallel_coordinate(study, params=varied, **target)
    if any(len(trial.intermediate_values) > 1 for trial in tried):
        with _drawn(found, "Values after each epoch"):
            axes = plots.plot_intermediate_values(study)
            pyplot.locator_params(axis="x", integer=True)
            if len(axes.lines) > _LEGEND:
                axes.get_legend().remove()
    return found


def _named(space: Space, tried: Sequence[FrozenTrial], names: Mapping[str, str]) -> optuna.Study:
    """Return a study with short names of parameters, in which trials have their numbers."""
    found = optuna.create_study(direction=space.direction)
    found.add_trial(create_trial(state=TrialState.FAIL))  # Optuna's numbers begin with 0
    for trial in tried:
        found.add_trial(
            create_trial(
                state=trial.state,
                value=trial.value if trial.state == TrialState.COMPLETE else None,
                params={names[key]: _literal(value) for key, value in trial.params.items()},
                distributions={
                    names[key]: _literal_choices(known)
                    for key, known in trial.distributions.items()
                },
                intermediate_values=trial.intermediate_values,
            )
        )
    return found


def _literal(value: Any) -> Any:
    """Return a value whose text Matplotlib does not read as a formula."""
    return value.replace("$", r"\$") if isinstance(value, str) else value


def _literal_choices(known: BaseDistribution) -> BaseDistribution:
    if not isinstance(known, CategoricalDistribution):
        return known
    return CategoricalDistribution([*map(_literal, known.choices)])


@contextmanager
def _drawn(found: dict[str, bytes], title: str, width: float = 8.0) -> Iterator[None]:
    """Add the figure that is drawn meanwhile to those that are `found`, without a window."""
    before, buffer = pyplot.get_fignums(), io.BytesIO()
    with texts.settings(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pyplot.switch_backend("agg")
        pyplot.rcParams |= {
            "figure.figsize": (max(width, 8.0), 4.8),
            "text.parse_math": True,  # powers of ten on logarithmic axes
            "axes.facecolor": "#e5e5e5",  # Optuna draws the worst trials in white
        }
        try:
            yield
            pyplot.savefig(buffer, dpi=100, bbox_inches="tight", metadata={"Software": None})
        finally:
            for number in {*pyplot.get_fignums()} - {*before}:
                pyplot.close(number)
    found[title] = buffer.getvalue()
