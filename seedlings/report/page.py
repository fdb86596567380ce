"""The page of the report, with the results of all stages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedlings.config.records import Record
from seedlings.report import diagrams, html, notes, summaries, tables
from seedlings.report.notes import Records
from seedlings.report.params import Report
from seedlings.tasks import TASKS

_MEGABYTES = 4.0  # of images, so that the page can be sent by e-mail


def write(path: Path, params: Report, *, preset: str, found: Records, card: str) -> None:
    """Write the page to `path`, from the records and the reports of the earlier stages.

    `preset` is the name of the preset that wrote the parameters, before later edits; `found` are
    the records by stage, and `card` is the text of the model card.
    """
    needs = {stage: set(record.reads) for stage, record in found.items()}
    metrics = found["evaluate"].metrics
    split = summaries.split(found["evaluate"].params)
    pictures = {stage: record.pictures for stage, record in found.items()}
    values = {
        "title": params.title,
        "data": notes.data(found),
        "preset": preset,
        "left_out": notes.left_out(found),
        "warnings": notes.warnings(found),
        "metrics": metrics,
        "models": summaries.models(metrics),
        "lines": summaries.lines(metrics),
        "intervals": summaries.intervals(metrics),
        "count": summaries.count(metrics, split),
        "absent": summaries.absent(metrics),
        "false_alarms": summaries.false_alarms(metrics, found["package"].metrics),
        "comparison": summaries.comparison(metrics),
        "split": split,
        "other_splits": summaries.other_splits(split),
        "note": summaries.note(split),
        **_without_crossing(metrics, split),
        "corrected": summaries.corrected(metrics, split),
        **_original_labels(metrics, split),
        "counts": found["split"].details["counts"],
        "without_images": found["split"].details.get("absent", []),
        "weights": found["finetune"].metrics,
        "details": tables.by_label(TASKS[found["evaluate"].params["task"]].label_metric),
        "pairs": tables.confusions(),
        "doubtful": found["evaluate"].details.get("doubtful_labels"),
        "activations": _activations(found["explain"].metrics),
        "diagram": diagrams.draw(needs | {"report": set(needs)}),
        "box": diagrams.BOX,
        "width": diagrams.WIDTH,
        "parameters": _parameters(found),
        "stages": pictures,
        "card": card,
        "pictures": html.embed([Path(p) for own in pictures.values() for p in own], _MEGABYTES),
    }
    html.write(html.TEMPLATES / "report.html", values, path)


def _without_crossing(metrics: Mapping[str, float], split: str) -> dict[str, Any]:
    """Return the template values without crossing duplicates; empty if no duplicates cross."""
    rest = summaries.without_crossing(metrics)
    if not rest:
        return {"without_crossing": rest}
    return {
        "without_crossing": rest,
        "lines_without_crossing": summaries.lines(rest),
        "comparison_without_crossing": summaries.comparison(rest),
        "count_without_crossing": summaries.count(rest, split),
        "absent_without_crossing": summaries.absent(rest),
    }


def _original_labels(metrics: Mapping[str, float], split: str) -> dict[str, Any]:
    """Return the template values with the labels before corrections; no lines if there are none."""
    before = summaries.original_labels(metrics)
    if not before:
        return {"lines_original": []}
    return {
        "lines_original": summaries.lines(before),
        "comparison_original": summaries.comparison(before),
        "count_original": summaries.count(before, split),
    }


def _activations(metrics: Mapping[str, float]) -> list[tuple[str, float, float]]:
    layers = dict.fromkeys(key.rpartition("/")[0] for key in metrics)
    return [(layer, metrics[f"{layer}/start"], metrics[f"{layer}/end"]) for layer in layers]


def _parameters(found: Mapping[str, Record]) -> dict[str, dict[str, Any]]:
    """Return the parameters of all stages by section; `all` has those without a section."""
    sections: dict[str, dict[str, Any]] = {}
    for record in found.values():
        for key, value in record.params.items():
            section = key.partition(".")[0] if "." in key else "all"
            sections.setdefault(section, {})[key] = value
    return sections
