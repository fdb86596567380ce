"""Records: the results of a stage, in a file among its outputs.

A record contains no times, host names or absolute paths, so that equal results give equal bytes.
DVC restores it from the cache with the other outputs, and MLflow logs it.
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
    """The results of one stage. Paths are relative to the project's root, with slashes.

    After each epoch, `after_epoch`, which belongs to the stage, can write an output that shows how
    far it is, and `on_epoch` tells an observer, which changes no output.
    """

    stage: str
    params: dict[str, Any] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)  # the stages whose outputs it reads
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    after_epoch: Callable[["Record"], None] | None = field(default=None, repr=False)
    on_epoch: Callable[[int, Mapping[str, float]], None] | None = field(default=None, repr=False)

    def add_metrics(self, metrics: Mapping[str, float], prefix: str = "") -> None:
        """Add final metrics. Raises ValueError for a metric that is not finite."""
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise ValueError(f"{self.stage}: the metric {prefix}{name} is {value}")
            self.metrics[prefix + name] = float(value)

    @property
    def epochs(self) -> int:
        """Number of epochs in the curves, of all phases of a training."""
        return max(map(len, self.curves.values()), default=0)

    def add_epoch(self, values: Mapping[str, float]) -> None:
        """Add one point to each curve, and call `after_epoch`, then `on_epoch`."""
        for name, value in values.items():
            self.curves.setdefault(name, []).append(float(value))
        if self.after_epoch:
            self.after_epoch(self)
        if self.on_epoch:
            self.on_epoch(self.epochs, values)

    def add_picture(self, path: Path) -> Path:
        """Add the path of a picture that the stage writes, and return it."""
        self.pictures.append(path.as_posix())
        return path

    def write(self, path: Path) -> None:
        """Write the record as JSON, atomically."""
        names = ("stage", "params", "reads", "metrics", "curves", "pictures", "details")
        write_json(path, {name: getattr(self, name) for name in names})


def read(path: Path) -> Record:
    """Return the record in a file that `Record.write` wrote."""
    return Record(**json.loads(path.read_text(encoding="utf-8")))
