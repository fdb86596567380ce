"""Trials of Optuna: their names, their labels and their order."""

import json
import re
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

optuna.logging.set_verbosity(optuna.logging.WARNING)

Params = dict[str, Any]  # as Optuna has them, by full key; none that is inactive


def name(search: str, number: int) -> str:
    """Return the name of a trial and of its experiment: `head-0007` for Optuna's number 6."""
    return f"{search}-{number + 1:04d}"


def number_in(search: str, experiment: str) -> int | None:
    """Return Optuna's number of the trial with an experiment, or None for another experiment."""
    match = re.fullmatch(rf"{re.escape(search)}-(\d{{4,}})", experiment)
    return int(match[1]) - 1 if match else None


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


def finished(found: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials with a value."""
    return [trial for trial in found if trial.state == TrialState.COMPLETE]


def best_first(found: Iterable[FrozenTrial], *, maximize: bool) -> list[FrozenTrial]:
    """Return the finished trials, the best first; equal ones keep their order."""
    return sorted(finished(found), key=attrgetter("value"), reverse=maximize)
