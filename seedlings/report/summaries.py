"""Summaries: the metrics of all models, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MODELS = ("majority", "mean", "baseline", "finetuned")
_CAPITALS = ("f1", "f2", "r2", "mae", "rmse")
_ENDS = {"low": "from", "high": "to"}


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of all models; the value of a model without this metric is None."""

    metric: str
    title: str
    is_end: bool  # whether it is a bound of the interval of the metric above
    values: tuple[float | None, ...]


def models(metrics: Mapping[str, float]) -> list[str]:
    """Return the names of the models in `name/metric`, from the simplest to the most complex."""
    return [name for name in _MODELS if any(key.startswith(f"{name}/") for key in metrics)]


def lines(metrics: Mapping[str, float]) -> list[Line]:
    """Return a line for each metric of the fine-tuned model, with a value for each of `models`."""
    columns = models(metrics)
    names = dict.fromkeys(key.partition("/")[2] for key in metrics if key.startswith("finetuned/"))
    return [
        Line(
            name,
            title(name),
            name.rpartition("_")[2] in _ENDS,
            tuple(metrics.get(f"{model}/{name}") for model in columns),
        )
        for name in names
    ]


def split(params: Mapping[str, Any]) -> str:
    """Return the evaluated split by the parameters, by full keys, of a revision or of evaluate.

    Revisions from before the parameter `evaluate.on` were evaluated on test images.
    """
    return str(params.get("evaluate.on", "test"))


def other_splits(split: str) -> str:
    """Return the splits that are not evaluated, as text."""
    return "training or validation" if split == "test" else "training or test"


def note(split: str) -> str:
    """Return what to know about metrics on a split, as a sentence; empty for `test`."""
    if split == "test":
        return ""
    return (
        "Validation images are also used for early stopping and calibration, so these metrics "
        "tend to be better than those on test images."
    )


def without_crossing(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics on the evaluated images without duplicates in another split.

    The result is empty if no group of duplicates crosses the splits.
    """
    prefix = "without_crossing/"
    return {k.removeprefix(prefix): v for k, v in metrics.items() if k.startswith(prefix)}


def title(metric: str) -> str:
    """Return the displayed name of a metric: "macro F1" for `macro_f1`, "from" for `f1_low`."""
    words = [word.upper() if word in _CAPITALS else word for word in metric.split("_")]
    return _ENDS.get(words[-1], " ".join(words))


def comparison(metrics: Mapping[str, float]) -> str:
    """Return the result of the paired test of the fine-tuned model and the baseline, as text."""
    if "mcnemar/p_value" not in metrics:
        return f"Wilcoxon signed-rank test of the two models: p = {metrics['wilcoxon/p_value']:.2g}"
    return (
        f"McNemar's test: {metrics['mcnemar/only_finetuned_right']:.0f} images only the "
        f"fine-tuned model got right, {metrics['mcnemar/only_baseline_right']:.0f} only the "
        f"baseline; p = {metrics['mcnemar/p_value']:.2g}"
    )
