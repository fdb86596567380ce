"""Search spaces and trials for tests."""

from typing import Any

import yaml
from imports import ROOT

from seedlings.search import space
from seedlings.search.space import Space

TREE = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
OPTIMIZER = "finetune.optimizer.name"
RATE = "finetune.optimizer.learning_rate"


def made(parameters: dict[str, Any], **others: Any) -> Space:
    values = {"objective": "validation/accuracy", "direction": "maximize", "parameters": parameters}
    return space.check(values | others, TREE, "space.yaml")
