"""Search spaces and trials for tests."""

from typing import Any

import numpy as np
import yaml
from imports import ROOT

from seedlings.search import space
from seedlings.search.space import Entry, Space
from seedlings.search.trials import Trial

TREE = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
OPTIMIZER = "finetune.optimizer.name"
RATE = "finetune.optimizer.learning_rate"


def made(parameters: dict[str, Any], **others: Any) -> Space:
    values = {"objective": "validation/accuracy", "direction": "maximize", "parameters": parameters}
    return space.check(values | others, TREE, "space.yaml")


HEAD = {  # eight parameters, as in spaces/head.yaml
    OPTIMIZER: {"choices": ["adam", "adamw", "sgd"]},
    RATE: {"range": [1e-4, 1e-1], "log": True},
    "finetune.optimizer.weight_decay": {
        "range": [1e-5, 1e-1],
        "log": True,
        "when": {OPTIMIZER: "adamw"},
    },
    "finetune.head.pooling": {"choices": ["average", "max", "flatten"]},
    "finetune.head.dense": {"choices": [[], [64], [256]]},
    "finetune.head.dropout": {"range": [0.0, 0.7], "step": 0.1},
    "finetune.label_smoothing": {"range": [0.0, 0.2], "step": 0.05},
    "finetune.batch_size": {"choices": [16, 32, 64]},
}


def invented(space: Space, count: int) -> list[Trial]:
    """Trials with random parameters and values; every sixth is pruned, and the eighth fails."""
    rng = np.random.default_rng(5)
    trials = []
    for number in range(1, count + 1):
        values = space.draw(lambda key, entry: _drawn(entry, rng))
        value = round(0.7 + 0.2 * float(rng.beta(4.0, 1.5)), 4)
        curve = [value * (1 - 0.6**epoch) for epoch in range(1, 13)]
        trial = Trial(number, values, "finished", value, value - 0.05, value + 0.04, curve)
        if number == 8:
            trial = Trial(number, values).failed("no memory <left> & more")
        trials.append(trial.pruned(4) if number % 6 == 0 else trial)
    return trials


def _drawn(entry: Entry, rng: np.random.Generator) -> Any:
    points = entry.points
    if points is not None:
        return points[rng.integers(len(points))]
    return float(np.exp(rng.uniform(*np.log(entry.range))))
