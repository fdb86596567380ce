"""Notes on the results: what the data are, which files are left out, and warnings with advice.

The page of the report, the model card and `seedlings summary` show the same sentences.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

from seedlings.config import paths, records
from seedlings.config.records import Record
from seedlings.report import summaries

STAGES = (
    "download",
    "split",
    "segment",
    "extract",
    "baseline",
    "finetune",
    "package",
    "evaluate",
    "explain",
)
Records = Mapping[str, Record]  # of all stages, by name

_SHOWN = 5
_GAP = 0.2  # between training and validation
_WIDTH = 0.2  # of an interval
_CHANCE = 0.05  # p-value
_LABELS = {"multilabel": "tags", "regression": ""}
_WITHOUT_PATH = ("sample", "digits")
TRIVIAL = {
    "majority": "a model that sees no image and always predicts what is most frequent",
    "mean": "a model that sees no image and always predicts the mean",
}


@dataclass(frozen=True, slots=True)
class Note:
    """What some files have in common, their number, the first of them, and where all are."""

    text: str
    examples: tuple[str, ...] = ()
    rest: str = ""


def read() -> dict[str, Record]:
    """Return the records of all stages before the report, by name."""
    return {stage: records.read(paths.record(stage)) for stage in STAGES}


def data(found: Records) -> str:
    """Return what the data are: source, number of images and classes, and images in each split.

    It is empty if the records of download and split do not say it.
    """
    params, counts = found["download"].params, found["split"].metrics
    if "data.source" not in params or "images" not in counts:
        return ""
    labels = label_noun(str(found["split"].params.get("task")))
    of_labels = f" of {counts['classes']:,.0f} {labels}" if labels else ""
    splits = ", ".join(f"{counts[name]:,.0f} {name}" for name in ("train", "validation", "test"))
    return f"{source(params)}: {counts['images']:,.0f} images{of_labels} ({splits})"


def source(params: Mapping[str, Any]) -> str:
    """Return the source of the data and its name, from the parameters of download, by full keys."""
    return " ".join([str(params["data.source"]), *_names(params)])


def label_noun(task: str) -> str:
    """Return what the labels of a task are, in the plural; empty for numbers."""
    return _LABELS.get(task, "classes")


def _names(params: Mapping[str, Any]) -> list[str]:
    """Return the last parts of the addresses of the data; the others can have a user's name."""
    if params["data.source"] in _WITHOUT_PATH:
        return []
    path = urlsplit(params["data.url"]).path if params["data.url"] else params["data.path"]
    folders = [path, params["data.folder"] or ""]
    return [PurePath(folder).name for folder in folders if folder]


def left_out(found: Records) -> list[Note]:
    """Return notes on files without a row, on files that share a row, and on empty cut-outs."""
    notes = []
    for stage, detail, text in (
        ("download", "skipped", "Files that were not copied"),
        ("split", "skipped", "Files that are not usable as images"),
        ("split", "unlabelled", "Files without a label"),
        ("split", "ungrouped", "Images in no known group, each a group of its own"),
        ("split", "dropped", "Images that data/corrections.csv drops"),
        ("split", "corrections_not_applied", "Lines of data/corrections.csv that are not applied"),
        ("segment", "empty", "Images without foreground after the segmentation"),
    ):
        lines = found[stage].details.get(detail, [])
        more = len(lines) - _SHOWN
        rest = f"{more} more are in {paths.record(stage).as_posix()} ({detail})"
        if lines:
            first = tuple(map(str, lines[:_SHOWN]))
            notes.append(Note(f"{text}: {len(lines)}", first, rest if more > 0 else ""))
    if corrected := _corrected(found["split"].metrics):
        notes.append(Note(corrected))
    if same := found["split"].metrics.get("identical"):
        notes.append(
            Note(
                f"Files with the content of another one, which share its row in arrays: {same:.0f}"
            )
        )
    return notes


def _corrected(counts: Mapping[str, float]) -> str:
    """Return how many labels people have corrected and confirmed; empty if none."""
    numbers = {name: counts.get(name, 0.0) for name in ("corrected", "confirmed")}
    found = [f"{count:.0f} {name}" for name, count in numbers.items() if count]
    return f"Labels in data/corrections.csv: {', '.join(found)}" if found else ""


def warnings(found: Records) -> list[str]:
    """Return what limits the results, each with its numbers and what to do."""
    rules = (
        *(_random_weights, _overfitting, _not_better, _wide_interval),
        *(_unreliable_labels, _false_alarms),
    )
    return [sentence for rule in rules for sentence in rule(found)]


def _random_weights(found: Records) -> Iterator[str]:
    params = found["extract"].params
    if params.get("extract.weights") == "random" and params.get("extract.backbone") != "none":
        yield (
            "The weights of the backbone are random (extract.weights), so its features were learnt "
            "from no image, and the metrics say little about your data. Set extract.weights to "
            "`imagenet`, `synthetic` or a file of weights."
        )


def _overfitting(found: Records) -> Iterator[str]:
    curves = found["finetune"].curves
    name = next((name for name in curves if name.endswith("accuracy")), "")
    if not name:
        return
    losses = curves["val_loss"]
    epoch = losses.index(min(losses))
    training, validation = curves[name][epoch], curves[f"val_{name}"][epoch]
    if training - validation > _GAP:
        yield (
            f"Overfitting: in epoch {epoch + 1}, with the lowest validation loss, the accuracy is "
            f"{training:.2f} in training and {validation:.2f} in validation. More images, "
            "augmentation (finetune.augment) or more regularisation (finetune.head.dropout, "
            "finetune.regularization) can help."
        )


def _not_better(found: Records) -> Iterator[str]:
    metrics = found["evaluate"].metrics
    main = summaries.lines(metrics)[0]
    finetuned = metrics[f"finetuned/{main.metric}"]
    sign = 1 if summaries.metric(main.metric).is_higher_better else -1
    for model in summaries.models(metrics):
        other = metrics.get(f"{model}/{main.metric}")
        if model == "finetuned" or other is None or sign * (finetuned - other) > 0:
            continue
        name = TRIVIAL.get(model, "the baseline")
        yield (
            f"The fine-tuned model is not better than {name}: {main.title} "
            f"{finetuned:.3g} and {other:.3g}. Check the labels and the cut-outs "
            "(reports/segment/before_and_after.png), then train longer, with another backbone "
            "(extract) or learning rate (finetune.optimizer)."
        )
        return
    test = summaries.p_value(metrics)
    if test >= _CHANCE:
        yield (
            f"The fine-tuned model is better than the baseline on these images, but this can be "
            f"chance (p = {test:.2g}). More evaluated images decide it."
        )


def _wide_interval(found: Records) -> Iterator[str]:
    metrics = found["evaluate"].metrics
    main = summaries.lines(metrics)[0]
    low, high = (metrics.get(f"finetuned/{main.metric}_{end}") for end in ("low", "high"))
    if low is None or high is None:
        return
    allowed = (
        _WIDTH if summaries.metric(main.metric).is_share else metrics[f"finetuned/{main.metric}"]
    )
    if high - low > allowed:
        split = summaries.split(found["evaluate"].params)
        share = "test_share" if split == "test" else "validation_per_class or validation_share"
        yield (
            f"{summaries.count(metrics, split)} are few: the interval of the {main.title} is "
            f"{low:.3g} to {high:.3g}. Smaller differences between models can be chance. Add "
            f"images, or raise split.{share}."
        )


def _unreliable_labels(found: Records) -> Iterator[str]:
    check = found["evaluate"].details.get("doubtful_labels", {})
    if check and not check["reliable"]:
        listed = check["listed"] + check.get("decided", 0)
        share = check["agreeing"] / check["checked"]
        yield (
            f"The list of doubtful labels is not reliable: {listed} of {check['checked']} labels "
            f"are doubtful, because the model gives only {share:.0%} of the images their label. "
            "Most of these labels are correct, and the model is wrong. Improve the model first; "
            "the first entries are still the most probable errors."
        )


def _false_alarms(found: Records) -> Iterator[str]:
    asked = found["package"].params.get("package.out_of_distribution_share", 0.0)
    expected = found["package"].metrics.get("out_of_distribution/expected_share", 0.0)
    if asked and expected > asked:
        yield (
            f"There are too few validation images to name {asked:.2%} of new images like them "
            f"out-of-distribution (package.out_of_distribution_share): {expected:.2%} are "
            f"expected. {math.ceil(1.0 / asked) - 1} validation images are enough "
            "(split.validation_per_class or validation_share)."
        )
