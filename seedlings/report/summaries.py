"""Summaries: the metrics of all models side by side."""

from collections.abc import Mapping
from dataclasses import dataclass

_MODELS = ("majority", "mean", "baseline", "finetuned")
_CAPITALS = ("f1", "f2", "r2", "mae", "rmse")
_ENDS = {"low": "from", "high": "to"}


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of every model; None for a model that does not have it."""

    metric: str
    title: str
    is_end: bool  # whether it is an end of the interval of the metric above
    values: tuple[float | None, ...]


def models(metrics: Mapping[str, float]) -> list[str]:
    """The models that `name/metric` speak of, the simplest first."""
    return [name for name in _MODELS if any(key.startswith(f"{name}/") for key in metrics)]


def lines(metrics: Mapping[str, float]) -> list[Line]:
    """A line for each metric of the fine-tuned model, a value for each of `models`."""
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


def without_crossing(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics on the test images without duplicates in another split.

    Empty where no group of duplicates crosses the splits.
    """
    prefix = "without_crossing/"
    return {k.removeprefix(prefix): v for k, v in metrics.items() if k.startswith(prefix)}


def title(metric: str) -> str:
    """A metric's name for people: `macro_f1` is `macro F1`; the ends of an interval, `from`."""
    words = [word.upper() if word in _CAPITALS else word for word in metric.split("_")]
    return _ENDS.get(words[-1], " ".join(words))


def comparison(metrics: Mapping[str, float]) -> str:
    """Whether the fine-tuned model beats the baseline, in a sentence."""
    if "mcnemar/p_value" not in metrics:
        return f"Wilcoxon's signed-rank test of both models: p = {metrics['wilcoxon/p_value']:.2g}"
    return (
        f"McNemar's test: {metrics['mcnemar/only_finetuned_right']:.0f} images only the "
        f"fine-tuned model got right, {metrics['mcnemar/only_baseline_right']:.0f} only the "
        f"baseline; p = {metrics['mcnemar/p_value']:.2g}"
    )
