"""The models that commands take: a folder, a run in MLflow, or the champion."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seedlings.config import paths, records
from seedlings.report import summaries

MODEL = "A folder with a model bundle, a run in MLflow, or models:/seedlings@champion."
LAST = "  [default: the champion if there is one, else models/packaged]"


def described(model: str) -> str:
    """Return a model in words: where it is, its version, and its main metric, if it is known."""
    if not is_folder(model):
        from seedlings.tracking import client, registry

        with client.reachable():
            return registry.described(model)
    record = paths.record("evaluate")
    if Path(model) != paths.PACKAGED or not record.is_file():
        return model
    found = records.read(record)
    return f"{model}, {summaries.score(found.metrics, summaries.split(found.params))}"


def card(model: str) -> str:
    """Return the model card of a model in Markdown; a title, if it has none."""
    if not is_folder(model):
        from seedlings.tracking import client, registry

        with client.reachable():
            found = registry.card_of(model)
    else:
        is_known = Path(model) == paths.PACKAGED and paths.MODEL_CARD.is_file()
        found = paths.MODEL_CARD.read_text(encoding="utf-8") if is_known else ""
    return found or f"# {described(model)}\n"


def is_folder(model: str) -> bool:
    """Return whether a model is a folder, and not one in MLflow."""
    return Path(model).is_dir() or ("/" in model and ":/" not in model)


@contextmanager
def package_of(model: str) -> Iterator[Path]:
    """Yield the folder of a model: `model` itself, or a copy of a model in MLflow."""
    if is_folder(model):
        yield Path(model)  # bundle.read raises the error for a missing folder
        return
    from seedlings.tracking import client

    with tempfile.TemporaryDirectory() as folder:
        with client.reachable():
            package = client.Tracker().download_package(model, Path(folder))
        yield package


def champion_or_last() -> str:
    """Return the address of the champion in MLflow if there is one, else the packaged model."""
    from seedlings.tracking import client, registry

    with client.reachable():
        known = client.Tracker().champion()
    return registry.ADDRESS if known else str(paths.PACKAGED)
