"""Summaries: the metrics of all models, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seedlings.tasks import Metric

_TRIVIAL = ("majority", "mean")  # without an interval
_MODELS = (*_TRIVIAL, "baseline", "finetuned")
_ENDS = {"low": "from", "high": "to"}
NO_INTERVAL = "no interval"


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of all models, as text; the cell of a model without this metric is empty."""

    metric: str
    title: str
    is_end: bool  # whether it is a bound of the interval of the metric above
    cells: tuple[str, ...]


def models(metrics: Mapping[str, float]) -> list[str]:
    """Return the names of the models in `name/metric`, from the simplest to the most complex."""
    return [name for name in _MODELS if any(key.startswith(f"{name}/") for key in metrics)]


def lines(metrics: Mapping[str, float]) -> list[Line]:
    """Return a line for each metric of the fine-tuned model, with a cell for each of `models`.

    The two lines below the main metric, which is the first, have the limits of its interval.
    """
    columns = models(metrics)
    names = dict.fromkeys(key.partition("/")[2] for key in metrics if key.startswith("finetuned/"))
    main, *others = [name for name in names if not _is_end(name)]
    return [
        Line(name, title(name), _is_end(name), tuple(_cell(metrics, m, name) for m in columns))
        for name in (main, f"{main}_low", f"{main}_high", *others)
    ]


def intervals(metrics: Mapping[str, float]) -> dict[str, str]:
    """Return the interval of the main metric of each of `models`; empty for a trivial one."""
    main = lines(metrics)[0].metric
    return {
        model: "" if model in _TRIVIAL else interval(metrics, f"{model}/{main}", ".3g")
        for model in models(metrics)
    }


def _is_end(metric: str) -> bool:
    return metric.rpartition("_")[2] in _ENDS


def _cell(metrics: Mapping[str, float], model: str, metric: str) -> str:
    value = metrics.get(f"{model}/{metric}")
    if value is not None:
        return f"{value:.4f}"
    return NO_INTERVAL if metric.endswith("_low") and model not in _TRIVIAL else ""


def interval(metrics: Mapping[str, float], name: str, digits: str = ".4f") -> str:
    """Return the interval of `name/metric` as text: "0.8 to 0.9", or "no interval"."""
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    if low is None or high is None:
        return NO_INTERVAL
    return f"{low:{digits}} to {high:{digits}}"


def text(metrics: Mapping[str, float], name: str, *, has_interval: bool) -> str:
    """Return `name/metric` as text, with its interval if it can have one; empty if it is absent."""
    if name not in metrics:
        return ""
    value = f"{metrics[name]:.4f}"
    return f"{value} ({interval(metrics, name)})" if has_interval else value


def score(metrics: Mapping[str, float], split: str) -> str:
    """Return the main metric of the fine-tuned model: "accuracy 0.9 (0.8 to 0.95) on 60 ..."."""
    main = lines(metrics)[0]
    value = text(metrics, f"finetuned/{main.metric}", has_interval=True)
    return f"{main.title} {value} on {count(metrics, split)}"


def result(metrics: Mapping[str, float], split: str) -> str:
    """Return the main metric of all models as a sentence, that of the fine-tuned model first."""
    main = lines(metrics)[0].metric
    others = [
        f"{model} {text(metrics, f'{model}/{main}', has_interval=False)}"
        for model in models(metrics)
        if model != "finetuned"
    ]
    before = original_labels(metrics)
    counts = [f"{metrics.get(key, 0.0):.0f}" for key in ("corrected_labels", "dropped_images")]
    how = f"with the original labels ({counts[0]} corrected, {counts[1]} dropped)"
    old = f"; {how} {score(before, split)}" if before else ""
    return f"{score(metrics, split)}; {', '.join(others)}{old}"


def count(metrics: Mapping[str, float], split: str) -> str:
    """Return the number of evaluated images as text: "185 test images in 180 groups"."""
    images, groups = metrics["images"], metrics.get("groups", metrics["images"])
    text = f"{images:.0f} {split} images"
    return text if groups == images else f"{text} in {groups:.0f} {_plural('group', groups)}"


def absent(metrics: Mapping[str, float]) -> str:
    """Return how many classes or tags macro F1 leaves out, as a sentence; empty if none."""
    number = metrics.get("absent_labels", 0.0)
    if not number:
        return ""
    verb = "has" if number == 1 else "have"
    return (
        f"{number:.0f} {_plural('label', number)} without a true image {verb} no scores; macro F1 "
        "is the mean over the others."
    )


def false_alarms(evaluated: Mapping[str, float], packaged: Mapping[str, float]) -> str:
    """Return the share of the evaluated images that are named out-of-distribution, as a sentence.

    The metrics are those of the stages evaluate and package; empty for records without them.
    """
    found = evaluated.get("out_of_distribution/share")
    expected = packaged.get("out_of_distribution/expected_share")
    if found is None or expected is None:
        return ""
    return (
        f"{found:.2%} of the images are farther from the training images than "
        f"{packaged['out_of_distribution/distance']:.3g}, and are named out-of-distribution by "
        f"mistake; {expected:.2%} are expected."
    )


def _plural(noun: str, number: float) -> str:
    return noun if number == 1 else f"{noun}s"


def split(params: Mapping[str, Any]) -> str:
    """Return the evaluated split by the parameters, by full keys, of a revision or of evaluate.

    Revisions from before this parameter were evaluated on test images.
    """
    return str(params.get("evaluate.split", "test"))


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
    return _below("without_crossing/", metrics)


def original_labels(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics with the labels before their corrections.

    The result is empty if no evaluated label was corrected, or if the classes are others.
    """
    return _below("original_labels/", metrics)


def corrected(metrics: Mapping[str, float], split: str) -> str:
    """Return how many evaluated labels people have corrected, as a sentence; empty if none."""
    labels, images = (metrics.get(key, 0.0) for key in ("corrected_labels", "dropped_images"))
    if not labels and not images:
        return ""
    verb = "was" if labels == 1 else "were"
    text = (
        f"{labels:.0f} {_plural('label', labels)} of {split} images {verb} corrected and "
        f"{images:.0f} {split} {_plural('image', images)} dropped by data/corrections.csv."
    )
    if original_labels(metrics):
        return text
    return (
        f"{text} There are no metrics with the original labels, because the corrections added or "
        "removed a class."
    )


def _below(prefix: str, metrics: Mapping[str, float]) -> dict[str, float]:
    return {k.removeprefix(prefix): v for k, v in metrics.items() if k.startswith(prefix)}


def title(name: str) -> str:
    """Return the displayed name of a metric: "macro F1" for `macro_f1`, "from" for `f1_low`."""
    return _ENDS.get(name.rpartition("_")[2]) or metric(name).title


def metric(name: str) -> "Metric":
    """Return a metric by its name; one of no task is a share with its name as the title."""
    from seedlings import tasks  # imports pandas, which the command line does without

    return tasks.metrics().get(name, tasks.Metric(name, name))


def p_value(metrics: Mapping[str, float]) -> float:
    """Return the p-value of the paired test of the two models."""
    key = "mcnemar/p_value" if "mcnemar/p_value" in metrics else "wilcoxon/p_value"
    return metrics[key]


def comparison(metrics: Mapping[str, float]) -> str:
    """Return the result of the paired test of the fine-tuned model and the baseline, as text."""
    images, groups = metrics.get("images"), metrics.get("groups")
    of_groups = "" if groups in (None, images) else f" of {groups:.0f} {_plural('group', groups)}"
    test = f"p = {p_value(metrics):.2g}"
    if "mcnemar/p_value" not in metrics:
        of_means = of_groups and f", means{of_groups}"
        return f"Wilcoxon signed-rank test of the two models{of_means}: {test}"
    name = f"Sign-flip test{of_groups}" if of_groups else "McNemar's test"
    return (
        f"{name}: {metrics['mcnemar/only_finetuned_right']:.0f} images only the "
        f"fine-tuned model got right, {metrics['mcnemar/only_baseline_right']:.0f} only the "
        f"baseline; {test}"
    )
