"""Records: what a stage found, as a file among its outputs.

A record holds nothing of time or place, so that the same work writes the same bytes. MLflow shows
what is in it; whoever restores a stage from a cache has its record, too.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seedlings.io.files import write_json


@dataclass(slots=True)
class Record:
    """The result of one stage. Paths are relative to the project's root, with /."""

    stage: str
    params: dict[str, Any] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)  # the stages whose outputs it was given
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    on_epoch: Callable[[int, Mapping[str, float]], None] | None = field(default=None, repr=False)

    def add_metrics(self, metrics: Mapping[str, float], prefix: str = "") -> None:
        """Add final numbers. Raises ValueError for one that is not finite."""
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise ValueError(f"{self.stage}: the metric {prefix}{name} is {value}")
            self.metrics[prefix + name] = float(value)

    def add_epoch(self, values: Mapping[str, float]) -> None:
        """Add one point to each curve, and pass it on to whoever follows the training."""
        for name, value in values.items():
            self.curves.setdefault(name, []).append(float(value))
        if self.on_epoch:
            epoch = max(len(curve) for curve in self.curves.values())
            self.on_epoch(epoch, values)

    def add_picture(self, path: Path) -> Path:
        """Name a picture that the stage writes; returns its path."""
        self.pictures.append(path.as_posix())
        return path

    def write(self, path: Path) -> None:
        """Write the record as JSON, whole or not at all."""
        names = ("stage", "params", "reads", "metrics", "curves", "pictures", "details")
        write_json(path, {name: getattr(self, name) for name in names})


def read(path: Path) -> Record:
    """A record as `Record.write` left it."""
    return Record(**json.loads(path.read_text(encoding="utf-8")))
