"""The page of a search: its result, trials and figures in one HTML file."""

import base64
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from seedlings.report import html
from seedlings.search import pictures, results, trials
from seedlings.search.results import Result


def write(result: Result, path: Path) -> None:
    """Write the result of a search as an HTML page that opens without a network."""
    space = result.space
    unfinished = [
        [result.name(trial), _end(trial), *results.parameters(space, trial.params)]
        for trial in result.trials
        if trial.state != TrialState.COMPLETE
    ]
    values = {
        "title": f"Search {result.search}",
        "settings": {
            "objective": f"{result.objective} on validation images, {space.direction}",
            "sampler": space.sampler,
            "pruner": space.pruner.replace("_", " "),
            "seed": space.seed,
        },
        "counts": results.counts(result),
        "sentences": results.sentences(result),
        "rows": results.table(result, result.ranking),
        "unfinished": unfinished,
        "parameters": [*trials.labels([*space.parameters]).values()],
        "figures": {
            title: "data:image/png;base64," + base64.b64encode(picture).decode()
            for title, picture in pictures.figures(space, result.trials).items()
        },
        "commands": result.commands,
    }
    html.write(Path(__file__).parent / "templates" / "search.html", values, path)


def _end(trial: FrozenTrial) -> str:
    """Return how a trial that did not finish ended, as text."""
    if trial.state == TrialState.PRUNED:
        epochs, last = trial.intermediate_values, trial.last_step
        noun = "epoch" if len(epochs) == 1 else "epochs"
        return f"pruned after {len(epochs)} {noun}, with {abs(epochs[last]):.4f}"
    reason = trial.user_attrs.get("reason", "")
    return f"failed: {reason}" if trial.state == TrialState.FAIL else "running"
