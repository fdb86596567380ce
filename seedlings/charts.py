"""Charts: numbers as pictures; the same numbers give the same bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seedlings.files import replacing
from seedlings.metrics import Reliability, TradeOff


def confusion(
    matrices: Mapping[str, NDArray[np.int64]], classes: Sequence[str], path: Path
) -> None:
    """Confusion matrices (title: counts, rows true, columns predicted) side by side, as PNG."""
    side = 2.2 + 0.32 * len(classes)
    figure = Figure(figsize=(side * len(matrices) + 1.0, side + 0.6), layout="constrained")
    axes = figure.subplots(1, len(matrices), squeeze=False, sharey=True)[0]
    for axis, (title, counts) in zip(axes, matrices.items(), strict=True):
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axis.imshow(shares, cmap="Greens", vmin=0.0, vmax=1.0)
        for row, column in np.argwhere(counts):
            colour = "white" if shares[row, column] > 0.6 else "black"
            text = str(counts[row, column])
            axis.text(column, row, text, color=colour, ha="center", va="center", fontsize=8)
        axis.set_xticks(range(len(classes)), classes, rotation=90, fontsize=8)
        axis.set_yticks(range(len(classes)), classes, fontsize=8)
        axis.set_xlabel("predicted")
        axis.set_title(title, fontsize=10)
    axes[0].set_ylabel("true")
    _save(figure, path)


def curves(values: Mapping[str, Sequence[float]], metric: str, path: Path) -> None:
    """Loss and a metric by epoch, training and validation, as PNG."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    for axis, name in zip(figure.subplots(1, 2), ("loss", metric), strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            axis.plot(np.arange(1, len(values[key]) + 1), values[key], label=label)
        axis.set_xlabel("epoch")
        axis.set_title(name.replace("_", " "))
        axis.legend()
        axis.grid(alpha=0.3)
    _save(figure, path)


def reliability(found: Mapping[str, Reliability], path: Path) -> None:
    """How often each model's predictions came true, over their probability, as PNG.

    A dot is as large as the share of the predictions that it stands for.
    """
    figure = Figure(figsize=(4.2 * len(found), 4.2), layout="constrained")
    axes = figure.subplots(1, len(found), squeeze=False, sharex=True, sharey=True)[0]
    for axis, (name, points) in zip(axes, found.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="black", linewidth=0.8)
        axis.plot(points.sure, points.right, color="tab:green")
        sizes = 400.0 * points.count / points.count.sum()
        axis.scatter(points.sure, points.right, sizes, color="tab:green", alpha=0.6)
        axis.set_xlabel("probability")
        axis.set_title(name)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("came true")
    _save(figure, path)


def trade_offs(found: Mapping[str, TradeOff], path: Path) -> None:
    """ROC and precision-recall curves of all models, as PNG."""
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    roc, precision_recall = figure.subplots(1, 2)
    for name, curve in found.items():
        label = f"{name}: area {curve.roc_auc:.3f}"
        roc.plot(curve.false_positive_rate, curve.true_positive_rate, label=label)
        label = f"{name}: average precision {curve.average_precision:.3f}"
        precision_recall.plot(curve.recall, curve.precision, label=label)
    roc.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    for axis, title, x, y in (
        (roc, "ROC", "false positive rate", "true positive rate"),
        (precision_recall, "precision and recall", "recall", "precision"),
    ):
        axis.set_title(title)
        axis.set_xlabel(x)
        axis.set_ylabel(y)
        axis.set_ylim(0.0, 1.02)
        axis.legend()
        axis.grid(alpha=0.3)
    _save(figure, path)


def predicted_against_true(
    predicted: Mapping[str, NDArray[np.floating]], truth: NDArray[np.floating], path: Path
) -> None:
    """Each model's numbers (N) over the true ones (N), side by side, as PNG."""
    figure = Figure(figsize=(4.2 * len(predicted), 4.2), layout="constrained")
    ends = [float(truth.min()), float(truth.max())]
    axes = figure.subplots(1, len(predicted), squeeze=False, sharex=True, sharey=True)[0]
    for axis, (name, values) in zip(axes, predicted.items(), strict=True):
        axis.plot(ends, ends, color="black", linewidth=0.8)
        axis.plot(truth, values, ".", color="tab:green", alpha=0.5)
        axis.set_xlabel("true")
        axis.set_title(f"{name}: mean absolute error {np.abs(values - truth).mean():.4g}")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("predicted")
    _save(figure, path)


def bars(
    columns: Mapping[str, Sequence[float]], names: Sequence[str], title: str, path: Path
) -> None:
    """A bar for each name and column, values from 0 to 1, as PNG."""
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
