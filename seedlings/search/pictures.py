"""Pictures: Optuna's plots, made readable with long labels and many parameters."""

import ast
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import matplotlib
import numpy as np
import optuna
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter
from optuna.trial import TrialState, create_trial
from optuna.visualization import matplotlib as plots

from seedlings.plots import texts
from seedlings.search import study
from seedlings.search.space import Space
from seedlings.search.trials import Trial, finished, identity, labels, shown

_COLUMNS = 4  # of the slice plot
_ACROSS = 24  # letters of labels side by side below a part of it
_LEGEND = 20  # trials in a legend, and colours


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
        "Optimization history": ended and plot(plots.plot_optimization_history, history),
        "Parameter importances": differ
        and len(known) > 1
        and plot(plots.plot_param_importances, importances, **important),
        "Slice": varied and plot(plots.plot_slice, slices, params=varied),
        "Parallel coordinates": len(varied) > 1
        and plot(plots.plot_parallel_coordinate, parallel, params=varied),
        "Values after each epoch": has_curves and draw(plots.plot_intermediate_values, curves),
    }
    return {title: picture for title, picture in drawn.items() if picture}


def _drawn(plot: Callable[..., Any], finish: Callable[[Any], None], **arguments: Any) -> bytes:
    """Return the picture that Optuna plots and `finish` makes readable."""
    with drawing(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        axes = plot(**arguments)
        finish(axes)
        return png(axes)


def _readable(space: Space, trials: Sequence[Trial], names: Mapping[str, str]) -> optuna.Study:
    """Return a study with short names of parameters, in which trials have their numbers."""
    entries = {names[key]: entry for key, entry in space.parameters.items()}
    short = space.model_copy(update={"parameters": entries})
    found = optuna.create_study(direction=space.direction)
    found.add_trial(create_trial(state=TrialState.FAIL))  # Optuna's numbers begin with 0
    for trial in sorted(trials, key=lambda trial: trial.number):
        values = {names[key]: value for key, value in trial.values.items()}
        found.add_trial(study.frozen(short, replace(trial, values=values)))
    return found


@contextmanager
def drawing() -> Iterator[None]:
    """Let pyplot draw without a window; afterwards, restore it and close the new figures."""
    backend, before = matplotlib.get_backend(auto_select=False), pyplot.get_fignums()
    with texts.settings():
        pyplot.switch_backend("agg")
        try:
            yield
        finally:
            for number in {*pyplot.get_fignums()} - {*before}:
                pyplot.close(number)
            if backend:
                pyplot.switch_backend(backend)


def png(axes: Any) -> bytes:
    """Return the figure of one or several axes as PNG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure = _figure(np.atleast_1d(axes)[0])
    figure.savefig(buffer, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def history(axes: Axes) -> None:
    """Finish the plot of the objective of each trial."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="best")
    _resize(axes, 9.0, 4.5)


def importances(axes: Axes) -> None:
    """Finish the bars of the parameters."""
    if legend := axes.get_legend():
        legend.remove()
    _resize(axes, 9.0, 1.6 + 0.4 * len(axes.get_yticks()))


def parallel(axes: Axes) -> None:
    """Finish the plot with one line for each trial."""
    lines = axes.collections[0]  # Optuna draws the worst trials in white
    lines.set_cmap("viridis" if lines.get_cmap().name.endswith("_r") else "viridis_r")
    _resize(axes, 2.0 + 1.6 * len(axes.get_xticks()), 6.0)
    for each in _figure(axes).axes[2:]:  # after those of the objective and of its colours
        if isinstance(each.yaxis.get_major_locator(), FixedLocator):
            texts = [_plain(label.get_text()) for label in each.get_yticklabels()]
            each.set_yticks(each.get_yticks(), labels=texts)
        for label in each.get_yticklabels():
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5})


def slices(axes: Any) -> None:
    """Finish the plot with one part for each parameter, in rows of a few parts."""
    parts = np.atleast_1d(axes)
    figure = _figure(parts[0])
    figure.axes[-1].remove()  # the colour bar beside Optuna's only row
    rows, columns = -(-len(parts) // _COLUMNS), min(len(parts), _COLUMNS)
    grid = figure.add_gridspec(rows, columns, hspace=0.5, wspace=0.1)  # labels may be sloping
    objective = parts[0].get_ylabel()
    for number, part in enumerate(parts):
        is_first = number % columns == 0
        part.set_subplotspec(grid[divmod(number, columns)])
        part.tick_params(labelleft=is_first)
        part.set_ylabel(objective if is_first else "")
        if isinstance(part.xaxis.get_major_formatter(), StrCategoryFormatter):
            texts = [_plain(label.get_text()) for label in part.get_xticklabels()]
            slope = 20 if sum(map(len, texts)) > _ACROSS else 0
            part.set_xticks(part.get_xticks(), labels=texts, rotation=slope)
            part.set_xlim(-0.5, len(texts) - 0.5)
        elif part.get_xscale() == "linear":
            part.xaxis.set_major_locator(MaxNLocator(5))
        else:
            low, high = part.get_xlim()
            part.xaxis.set_major_locator(
                LogLocator(subs=(1.0, 3.0) if high < 100 * low else (1.0,))
            )
            part.xaxis.set_major_formatter("{x:g}")
            part.xaxis.set_minor_formatter(NullFormatter())
            part.tick_params(axis="x", labelrotation=20)
    _resize(parts[0], 2.0 + 3.2 * columns, 3.6 * rows)
    figure.colorbar(parts[0].collections[0], ax=[*parts], label="Trial")


def curves(axes: Axes) -> None:
    """Finish the plot of the values after each epoch."""
    axes.set(xlabel="Epoch", ylabel="Value that the pruner compares")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for number, line in enumerate(axes.lines):
        line.set_color(pyplot.get_cmap("tab20")(number % _LEGEND))
    if (legend := axes.get_legend()) and len(axes.lines) > _LEGEND:
        legend.remove()
    _resize(axes, 9.0, 4.5)


def _resize(axes: Axes, width: float, height: float) -> None:
    """Set the size of the figure of some axes in inches; remove the title, which the page has."""
    figure = _figure(axes)
    figure.set_layout_engine("none")
    figure.set_size_inches(width, height)
    figure.suptitle("")
    for place in ("left", "center"):
        axes.set_title("", loc=place)


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def _plain(text: str) -> str:
    """Return a tick's label as readable text; that of a choice is JSON, in Python's quotes."""
    if text == "None":
        return "inactive"
    try:
        return shown(json.loads(ast.literal_eval(text) if text.startswith("'") else text))
    except (SyntaxError, ValueError):
        return text
