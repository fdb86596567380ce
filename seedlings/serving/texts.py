"""Texts: answers as JSON, CSV or aligned columns."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

_DIGITS = 7
_SHOWN_DIGITS = 4

Row = Mapping[str, Any]


def as_text(rows: Sequence[Row], form: str | None) -> str:
    """Return rows in the form `json` or `csv`, or as aligned columns if `form` is None.

    All rows have the same columns. JSON and CSV have 7 digits of each number, as many as float32
    holds. A CSV has one column for each class or tag; aligned columns have no `probabilities`, and
    without a row there is no text.
    """
    if form == "json":
        return json.dumps([rounded(row) for row in rows], indent=2, ensure_ascii=False) + "\n"
    return _csv(rows) if form == "csv" else _aligned(rows)


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    first = rows[0] if rows else {"path": ""}
    names = [name for name in first if name != "probabilities"]
    classes = list(first.get("probabilities", {}))
    titles = [f"{name} (probability)" if name in names else name for name in classes]
    writer.writerow([*names, *titles])
    for row in map(rounded, rows):
        numbers = row.get("probabilities", {})
        writer.writerow([row[name] for name in names] + [numbers[name] for name in classes])
    return text.getvalue()


def _aligned(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    names = [name for name in rows[0] if name != "probabilities"]
    cells = [names, *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    )
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    return f"{value:.{_SHOWN_DIGITS}f}" if isinstance(value, float) else str(value)


def rounded(value: Any) -> Any:
    """Return a value in which all numbers have 7 digits."""
    if isinstance(value, Mapping):
        return {name: rounded(inner) for name, inner in value.items()}
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
