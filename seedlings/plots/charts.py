"""Charts, written as PNG; equal values give equal bytes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import AutoLocator, MaxNLocator
from numpy.typing import NDArray
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    PrecisionRecallDisplay,
    PredictionErrorDisplay,
    RocCurveDisplay,
)

from seedlings.io.files import replacing
from seedlings.plots import texts

_DARK = 0.6  # the share above which a cell of a confusion matrix needs white text
_NAME = 190  # pixels of a name, as `texts` draws it
_SHARP = 4  # pixels of a name that is drawn as a picture, for one of `texts`
_GAP = 7.0  # points from the axis to a name, as of matplotlib
_MOST_COUNTS = 40  # classes of a confusion matrix with numbers
_MOST_CLASSES = 100  # of a confusion matrix
_MOST_CONFUSIONS = 25
_MOST_BARS = 40
_MOST_SCORES = 1_000_000  # of a curve with a point for each


def confusion_matrices(
    matrices: Mapping[str, NDArray[np.int64]], classes: Sequence[str], path: Path
) -> None:
    """Draw confusion matrices side by side, as PNG.

    `matrices` maps a title to counts (classes x classes; rows are true, columns predicted). The
    colour of a cell is the share of its true class, the number is the count. More than 40 classes
    have no numbers; of more than 100, the chart has the most frequent confusions only.
    """
    if len(classes) > _MOST_CLASSES:
        _confusions(matrices, classes, path)
        return
    has_counts = len(classes) <= _MOST_COUNTS
    side = 2.2 + (0.32 if has_counts else 0.13) * len(classes)
    size = 8 if has_counts else 6
    names = texts.shorten_all(classes, _NAME)
    with _figure(path, side * len(matrices) + 1.0, side + 0.6) as figure:
        axes = figure.subplots(1, len(matrices), squeeze=False, sharey=True)[0]
        for axis, (title, counts) in zip(axes, matrices.items(), strict=True):
            shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            shown = ConfusionMatrixDisplay(shares).plot(
                ax=axis,
                cmap="Greens",
                colorbar=False,
                include_values=has_counts,
                im_kw={"vmin": 0.0, "vmax": 1.0},
            )
            if has_counts:
                _write_counts(shown, counts)
            axis.set(xlabel="predicted", ylabel="")
            axis.set_title(title, fontsize=10)
            _name_ticks(axis.xaxis, names, size)
        axes[0].set_ylabel("true")
        _name_ticks(axes[0].yaxis, names, size)


def _write_counts(shown: ConfusionMatrixDisplay, counts: NDArray[np.int64]) -> None:
    for (row, column), text in np.ndenumerate(shown.text_):
        colour = "white" if shown.confusion_matrix[row, column] > _DARK else "black"
        text.set(text=str(counts[row, column] or ""), color=colour, fontsize=8)


def _confusions(
    matrices: Mapping[str, NDArray[np.int64]], classes: Sequence[str], path: Path
) -> None:
    """Draw a bar for each of the most frequent confusions, below each other for each matrix."""
    names = texts.shorten_all(classes, _NAME)
    with _figure(path, 9.0, (1.2 + 0.2 * _MOST_CONFUSIONS) * len(matrices)) as figure:
        axes = figure.subplots(len(matrices), 1, squeeze=False)[:, 0]
        for axis, (title, counts) in zip(axes, matrices.items(), strict=True):
            wrong = counts - np.diag(np.diag(counts))
            found = np.flatnonzero(wrong)
            order = found[np.argsort(-wrong.flat[found], kind="stable")][:_MOST_CONFUSIONS]
            pairs = [divmod(int(place), len(classes)) for place in order]
            axis.barh(np.arange(len(order)), wrong.flat[order], color="tab:green")
            axis.set_yticks(np.arange(len(order)))
            _name_ticks(axis.yaxis, [f"{names[true]} as {names[given]}" for true, given in pairs])
            axis.invert_yaxis()
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.set_title(title, fontsize=10)
            axis.set_xlabel(f"images; the {len(order)} most frequent of {len(found)} confusions")


def curves(values: Mapping[str, Sequence[float]], metric: str, path: Path) -> None:
    """Draw the loss and a metric per epoch, of training and validation, as PNG.

    `values` has the keys `loss` and `metric`, and both with the prefix `val_`.
    """
    with _figure(path, 9.0, 3.4) as figure:
        for axis, name in zip(figure.subplots(1, 2), ("loss", metric), strict=True):
            for key, label in ((name, "training"), (f"val_{name}", "validation")):
                axis.plot(np.arange(1, len(values[key]) + 1), values[key], label=label)
            axis.set_xlabel("epoch")
            axis.set_title(name.replace("_", " "))
            axis.legend()
            axis.grid(alpha=0.3)


def reliability(
    models: Mapping[str, tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.integer]]],
    path: Path,
) -> None:
    """Draw the reliability diagram of each model, side by side, as PNG.

    `models` maps a name to the mean probability (0..1), the share of correct predictions or of true
    tags (0..1) and the count of each bin. The area of a point is proportional to the count of its
    bin.
    """
    with _figure(path, 4.2 * len(models), 4.2) as figure:
        axes = figure.subplots(1, len(models), squeeze=False, sharex=True, sharey=True)[0]
        for axis, (name, (confidence, accuracy, count)) in zip(axes, models.items(), strict=True):
            axis.plot([0, 1], [0, 1], color="black", linewidth=0.8)
            axis.plot(confidence, accuracy, color="tab:green")
            axis.scatter(
                confidence, accuracy, 400.0 * count / count.sum(), color="tab:green", alpha=0.6
            )
            axis.set_xlabel("predicted probability")
            axis.set_title(name)
            axis.grid(alpha=0.3)
        axes[0].set_ylabel("observed share")


def roc_pr_curves(
    truth: NDArray[np.bool_], scores: Mapping[str, NDArray[np.floating]], path: Path
) -> None:
    """Draw the ROC and precision-recall curves of all models over all thresholds, as PNG.

    `truth` has N labels; `scores` maps the name of a model to N scores (0..1). More than a million
    scores are rounded to half precision, so that the memory does not grow with the curves.
    """
    with _figure(path, 9.0, 4.2) as figure:
        roc, precision_recall = figure.subplots(1, 2)
        for name, values in scores.items():
            labels, points, weights = _counted(truth, values)
            options = {"sample_weight": weights, "name": name}
            RocCurveDisplay.from_predictions(labels, points, ax=roc, **options)
            PrecisionRecallDisplay.from_predictions(labels, points, ax=precision_recall, **options)
        roc.plot([0, 1], [0, 1], color="black", linewidth=0.8)
        for axis, title, x, y, place in (
            (roc, "ROC", "false positive rate", "true positive rate", "lower right"),
            (precision_recall, "precision and recall", "recall", "precision", "lower left"),
        ):
            axis.set(title=title, xlabel=x, ylabel=y, ylim=(0.0, 1.02), aspect="auto")
            axis.legend(loc=place)
            axis.grid(alpha=0.3)


def _counted(
    truth: NDArray[np.bool_], scores: NDArray[np.floating]
) -> tuple[NDArray[np.bool_], NDArray[np.floating], NDArray[np.int64] | None]:
    """Return labels, scores and how often each occurs; many scores are in half precision."""
    if scores.size <= _MOST_SCORES:
        return truth, scores, None
    codes = scores.astype(np.float16).view(np.uint16)
    counts = [np.bincount(codes[truth == label]) for label in (False, True)]
    places = [np.flatnonzero(found) for found in counts]
    return (
        np.repeat([False, True], [len(found) for found in places]),
        np.concatenate(places).astype(np.uint16).view(np.float16).astype(np.float64),
        np.concatenate([found[at] for found, at in zip(counts, places, strict=True)]),
    )


def predicted_against_true(
    predicted: Mapping[str, NDArray[np.floating]], truth: NDArray[np.floating], path: Path
) -> None:
    """Draw the true values (N) against the predicted values (N) of each model, as PNG.

    `predicted` maps the name of a model to its values; the models are side by side.
    """
    with _figure(path, 4.2 * len(predicted), 4.2) as figure:
        axes = figure.subplots(1, len(predicted), squeeze=False, sharex=True, sharey=True)[0]
        for axis, (name, values) in zip(axes, predicted.items(), strict=True):
            PredictionErrorDisplay.from_predictions(
                truth, values, kind="actual_vs_predicted", subsample=None, ax=axis
            )
            axis.set_title(f"{name}: mean absolute error {np.abs(values - truth).mean():.4g}")
            axis.set(xlabel="predicted", ylabel="")
            axis.set_aspect("equal", adjustable="box")  # shared axes require "box"
            axis.xaxis.set_major_locator(AutoLocator())
            axis.yaxis.set_major_locator(AutoLocator())
            axis.grid(alpha=0.3)
        axes[0].set_ylabel("true")


def bars(
    columns: Mapping[str, Sequence[float]], names: Sequence[str], title: str, path: Path
) -> None:
    """Draw a horizontal bar for each name and column, as PNG; of many names, the lowest 40.

    `columns` maps a label of the legend to values (0..1), one for each of `names`; `title` is the
    label of the x axis. The lowest names are those with the lowest mean of all columns; NaN is
    the highest.
    """
    every = np.array([*columns.values()])
    order = np.argsort(every.mean(axis=0), kind="stable")[:_MOST_BARS]
    rows = np.sort(order)
    if len(rows) < len(names):
        title = f"{title}; the {len(rows)} lowest of {len(names)}"
    height = 0.8 / len(columns)
    with _figure(path, 7.0, 1.2 + 0.4 * len(rows)) as figure:
        axis = figure.subplots()
        for number, values in enumerate(every):
            axis.barh(np.arange(len(rows)) + number * height, values[rows], height)
        axis.set_yticks(np.arange(len(rows)) + 0.4 - height / 2)
        _name_ticks(axis.yaxis, texts.shorten_all([names[row] for row in rows], _NAME))
        axis.invert_yaxis()
        axis.set_xlim(0.0, 1.0)
        axis.set_xlabel(title)
        axis.legend(axis.containers, [*columns])


@contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield a figure of so many inches, and write it as PNG at the end."""
    with texts.settings():
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        figure.draw_without_rendering()  # the layout of one drawing can be larger than the figure
        _save(figure, path)


def _name_ticks(axis: Axis, names: Sequence[str], size: int = 8) -> None:
    """Write a name at each tick; one that matplotlib's font cannot write becomes a picture."""
    is_x, places = isinstance(axis, XAxis), axis.get_majorticklocs()
    plain = [name if texts.is_plain(name) else "" for name in names]
    axis.set_ticks(places, plain, fontsize=size, rotation=90 if is_x else 0)
    longest = 0.0
    for place, name, written in zip(places, names, plain, strict=True):
        if name != written:
            axis.axes.add_artist(_pasted(axis, place, name, size))
            longest = max(longest, texts.draw(name, _SHARP).shape[1] / _SHARP)
    reserved = max([0, *map(texts.width, plain)])  # matplotlib makes room for the plain ones
    if longest > reserved:
        axis.labelpad += _GAP + (longest - reserved) * size / texts.SIZE


def _pasted(axis: Axis, place: float, name: str, size: int) -> AnnotationBbox:
    """Return a name as a picture beside the tick at a place."""
    is_x = isinstance(axis, XAxis)
    ink = texts.draw(name, _SHARP)
    paper = 255 - np.repeat(ink[:, :, None], 3, axis=2)
    return AnnotationBbox(
        OffsetImage(np.rot90(paper) if is_x else paper, zoom=size / texts.SIZE / _SHARP),
        xy=(place, 0.0) if is_x else (0.0, place),
        xycoords=axis.axes.get_xaxis_transform() if is_x else axis.axes.get_yaxis_transform(),
        xybox=(0.0, -_GAP) if is_x else (-_GAP, 0.0),
        boxcoords="offset points",
        box_alignment=(0.5, 1.0) if is_x else (1.0, 0.5),
        frameon=False,
        pad=0.0,
        annotation_clip=False,
        clip_on=False,  # so that the layout has room for it
    )


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png", dpi=110, metadata={"Software": None})
