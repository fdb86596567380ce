"""Charts, written as PNG; equal values give equal bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator
from numpy.typing import NDArray
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    PrecisionRecallDisplay,
    PredictionErrorDisplay,
    RocCurveDisplay,
)

from seedlings.io.files import replacing

_DARK = 0.6  # the share above which a cell of a confusion matrix needs white text


def confusion_matrices(
    matrices: Mapping[str, NDArray[np.int64]], classes: Sequence[str], path: Path
) -> None:
    """Draw confusion matrices side by side, as PNG.

    `matrices` maps a title to counts (classes x classes; rows are true, columns predicted). The
    colour of a cell is the share of its true class, the number is the count.
    """
    side = 2.2 + 0.32 * len(classes)
    figure = Figure(figsize=(side * len(matrices) + 1.0, side + 0.6), layout="constrained")
    axes = figure.subplots(1, len(matrices), squeeze=False, sharey=True)[0]
    for axis, (title, counts) in zip(axes, matrices.items(), strict=True):
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        shown = ConfusionMatrixDisplay(shares, display_labels=classes).plot(
            ax=axis, cmap="Greens", colorbar=False, im_kw={"vmin": 0.0, "vmax": 1.0}
        )
        for (row, column), text in np.ndenumerate(shown.text_):
            colour = "white" if shares[row, column] > _DARK else "black"
            text.set(text=str(counts[row, column] or ""), color=colour, fontsize=8)
        axis.tick_params(axis="x", labelrotation=90)
        axis.tick_params(labelsize=8)
        axis.set(xlabel="predicted", ylabel="")
        axis.set_title(title, fontsize=10)
    axes[0].set_ylabel("true")
    _save(figure, path)


def curves(values: Mapping[str, Sequence[float]], metric: str, path: Path) -> None:
    """Draw the loss and a metric per epoch, of training and validation, as PNG.

    `values` has the keys `loss` and `metric`, and both with the prefix `val_`.
    """
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    for axis, name in zip(figure.subplots(1, 2), ("loss", metric), strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            axis.plot(np.arange(1, len(values[key]) + 1), values[key], label=label)
        axis.set_xlabel("epoch")
        axis.set_title(name.replace("_", " "))
        axis.legend()
        axis.grid(alpha=0.3)
    _save(figure, path)


def reliability(
    models: Mapping[str, tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.integer]]],
    path: Path,
) -> None:
    """Draw the reliability diagram of each model, side by side, as PNG.

    `models` maps a name to the mean probability (0..1), the share of correct predictions or of true
    tags (0..1) and the count of each bin. The area of a point is proportional to the count of its
    bin.
    """
    figure = Figure(figsize=(4.2 * len(models), 4.2), layout="constrained")
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
    _save(figure, path)


def roc_pr_curves(
    truth: NDArray[np.bool_], scores: Mapping[str, NDArray[np.floating]], path: Path
) -> None:
    """Draw the ROC and precision-recall curves of all models over all thresholds, as PNG.

    `truth` has N labels; `scores` maps the name of a model to N scores.
    """
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    roc, precision_recall = figure.subplots(1, 2)
    for name, values in scores.items():
        RocCurveDisplay.from_predictions(truth, values, name=name, ax=roc)
        PrecisionRecallDisplay.from_predictions(truth, values, name=name, ax=precision_recall)
    roc.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    for axis, title, x, y, place in (
        (roc, "ROC", "false positive rate", "true positive rate", "lower right"),
        (precision_recall, "precision and recall", "recall", "precision", "lower left"),
    ):
        axis.set(title=title, xlabel=x, ylabel=y, ylim=(0.0, 1.02), aspect="auto")
        axis.legend(loc=place)
        axis.grid(alpha=0.3)
    _save(figure, path)


def predicted_against_true(
    predicted: Mapping[str, NDArray[np.floating]], truth: NDArray[np.floating], path: Path
) -> None:
    """Draw the true values (N) against the predicted values (N) of each model, as PNG.

    `predicted` maps the name of a model to its values; the models are side by side.
    """
    figure = Figure(figsize=(4.2 * len(predicted), 4.2), layout="constrained")
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
    _save(figure, path)


def bars(
    columns: Mapping[str, Sequence[float]], names: Sequence[str], title: str, path: Path
) -> None:
    """Draw a horizontal bar for each name and column, as PNG.

    `columns` maps a label of the legend to values (0..1), one for each of `names`; `title` is the
    label of the x axis.
    """
    figure = Figure(figsize=(7.0, 1.2 + 0.4 * len(names)), layout="constrained")
    axis = figure.subplots()
    height = 0.8 / len(columns)
    for number, (label, values) in enumerate(columns.items()):
        places = np.arange(len(names)) + number * height
        axis.barh(places, values, height, label=label)
    axis.set_yticks(np.arange(len(names)) + 0.4 - height / 2, names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0.0, 1.0)
    axis.set_xlabel(title)
    axis.legend()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png", dpi=110, metadata={"Software": None})
