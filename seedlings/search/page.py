"""The page of a search: its result, trials and figures in one HTML file."""

import base64
from pathlib import Path

from seedlings.report import html
from seedlings.search import pictures, results, trials
from seedlings.search.results import Result
from seedlings.search.trials import Trial


def write(result: Result, path: Path) -> None:
    """Write the result of a search as an HTML page that opens without a network."""
    space = result.space
    rows = results.table(result, result.ranking)
    unfinished = [
        [result.name(trial), _end(trial), *results.parameters(space, trial.values)]
        for trial in sorted(result.trials, key=lambda trial: trial.number)
        if trial.state != "finished"
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
        "rows": rows,
        "unfinished": unfinished,
        "parameters": [*trials.labels([*space.parameters]).values()],
        "figures": {
            title: "data:image/png;base64," + base64.b64encode(picture).decode()
            for title, picture in pictures.figures(space, result.trials).items()
        },
        "commands": results.commands(result) if result.best else {},
    }
    html.write(Path(__file__).parent / "templates" / "search.html", values, path)


def _end(trial: Trial) -> str:
    """Return how a trial that did not finish ended, as text."""
    if trial.state == "pruned":
        count = len(trial.curve)
        value = f", with {abs(trial.curve[-1]):.4f}" if trial.curve else ""
        return f"pruned after {count} {'epoch' if count == 1 else 'epochs'}{value}"
    return f"failed: {trial.reason}" if trial.state == "failed" else trial.state
