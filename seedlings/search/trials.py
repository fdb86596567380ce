"""Trials: the parameters of a search that were tried, and what each of them reached."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["running", "finished", "pruned", "failed"]
Values = dict[str, Any]  # parameters of the space by their full keys; none that is inactive


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a search.

    `value` is the objective on the validation images, `low` and `high` the bounds of its interval
    (None if there is none), and `curve` the values after each epoch that the pruner compares.
    `experiment` is the commit of the DVC experiment of a finished trial.
    """

    number: int
    values: Values
    state: State = "running"
    value: float | None = None
    low: float | None = None
    high: float | None = None
    curve: list[float] = field(default_factory=list)
    experiment: str = ""
    reason: str = ""  # why it failed

    @property
    def is_over(self) -> bool:
        """Return whether the trial has ended."""
        return self.state != "running"


def identity(values: Values) -> str:
    """Return a text that is equal for equal parameters."""
    return json.dumps(values, sort_keys=True)


def name(search: str, number: int) -> str:
    """Return the name of a trial and of its experiment, such as `head-0007`."""
    return f"{search}-{number:04d}"


def number_in(search: str, experiment: str) -> int | None:
    """Return the number in the name of a trial's experiment, or None for another name."""
    match = re.fullmatch(rf"{re.escape(search)}-(\d{{4,}})", experiment)
    return int(match[1]) if match else None


def labels(keys: Sequence[str]) -> dict[str, str]:
    """Return a short label of each parameter: the last parts of its key that no other one has.

    `name` alone says too little, so that `optimizer.name` keeps both parts.
    """
    parts = [key.split(".") for key in keys]
    found = {}
    for own in parts:
        length = 2 if own[-1] == "name" else 1
        while length < len(own) and sum(p[-length:] == own[-length:] for p in parts) > 1:
            length += 1
        found[".".join(own)] = ".".join(own[-length:])
    return found


def shown(value: Any) -> str:
    """Return the value of a parameter as readable text; a number has at most four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def finished(trials: Iterable[Trial]) -> list[Trial]:
    """Return the finished trials."""
    return [trial for trial in trials if trial.state == "finished"]


def best_first(trials: Iterable[Trial], *, maximize: bool) -> list[Trial]:
    """Return the finished trials, the best first; of equal ones, the one with the lower number."""
    sign = -1.0 if maximize else 1.0
    return sorted(finished(trials), key=lambda t: (sign * (t.value or 0.0), t.number))
