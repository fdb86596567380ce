"""The report: what all stages found, on one page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from seedlings import diagrams, layout, pages, records, summaries
from seedlings.params import Report
from seedlings.records import Record

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
_PAIRS = 8
_MEGABYTES = 4.0  # of pictures: the page is to be mailed


def write(path: Path, params: Report) -> None:
    """Write the page from what the stages before it left among their outputs."""
    found = {stage: records.read(layout.record(stage)) for stage in STAGES}
    needs = {stage: set(record.reads) for stage, record in found.items()}
    metrics = found["evaluate"].metrics
    pictures = {stage: record.pictures for stage, record in found.items()}
    values = {
        "title": params.title,
        "metrics": metrics,
        "models": summaries.models(metrics),
        "lines": summaries.lines(metrics),
        "comparison": summaries.comparison(metrics),
        "counts": found["split"].details["counts"],
        "weights": found["finetune"].metrics,
        "details": _details(),
        "pairs": _pairs(),
        "rises": _rises(found["explain"].metrics),
        "diagram": diagrams.draw(needs | {"report": set(needs)}),
        "box": diagrams.BOX,
        "width": diagrams.WIDTH,
        "parameters": _parameters(found),
        "stages": pictures,
        "pictures": pages.embed([Path(p) for own in pictures.values() for p in own], _MEGABYTES),
    }
    pages.write("report.html", values, path)


def _details() -> pd.DataFrame:
    """The fine-tuned model's numbers of each class, tag or range of values, the worst first."""
    table = pd.read_csv(
        layout.report("evaluate") / "finetuned_classes.csv",
        dtype={"label": str, "range": str},
        keep_default_na=False,
    )
    by = next(name for name in ("f2", "f1", "mae") if name in table)
    return table.sort_values(by, ascending=by != "mae", kind="stable")


def _pairs() -> list[tuple[str, str, int]]:
    """What the fine-tuned model takes most often for something else, and how often."""
    table = pd.read_csv(
        layout.report("evaluate") / "confusion.csv", dtype=str, keep_default_na=False
    )
    wrong = table[table["label"] != table["finetuned"]]
    counts = (
        wrong.groupby(["label", "finetuned"]).size().sort_values(ascending=False, kind="stable")
    )
    return [(true, taken, int(count)) for (true, taken), count in counts.head(_PAIRS).items()]


def _rises(metrics: Mapping[str, float]) -> list[tuple[str, float, float]]:
    layers = dict.fromkeys(key.rpartition("/")[0] for key in metrics)
    return [(layer, metrics[f"{layer}/start"], metrics[f"{layer}/end"]) for layer in layers]


def _parameters(found: Mapping[str, Record]) -> dict[str, dict[str, Any]]:
    """Every parameter under its section."""
    sections: dict[str, dict[str, Any]] = {}
    for record in found.values():
        for key, value in record.params.items():
            section = key.partition(".")[0] if "." in key else "all"
            sections.setdefault(section, {})[key] = value
    return sections
