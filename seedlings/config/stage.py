"""Runs a stage: a script in stages/, with the parameters that dvc.yaml declares for it."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from seedlings import processor
from seedlings.config import params, paths
from seedlings.config.params import Section
from seedlings.config.pipeline import Pipeline
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.io import files
from seedlings.io.shards import Engine, Here

_SHOWN = 10

Observer = Callable[[Record], AbstractContextManager[None]]


def run(
    name: str,
    observe: Observer,
    *,
    values: Section,
    pipeline: Pipeline,
    engine: Engine | None = None,
) -> None:
    """Run the function `main` of stages/<name>.py and write its record.

    `values` has all parameters. The function gets only those that the pipeline declares for the
    stage, and the engine (by default this process) if it has an argument `engine`. It runs inside
    the context manager `observe(record)`, with the processor's settings that `portable` asks for; a
    stage that does not declare `portable` computes no network and always has them. An output that a
    killed run has left under another name is put back first. Raises the exceptions of the function,
    and SeedlingsError if what DVC records of the stage changed while it ran.
    """
    by_name = dict(sorted(values.model_dump().items()))
    declared = pipeline.declared(name, params.flatten(by_name))
    before = pipeline.recorded(name, declared)
    processor.use(portable=declared.get("portable", True))
    for path in pipeline.outputs(name):
        files.recover(path)
    record = Record(name, declared, pipeline.reads(name))
    with observe(record):
        main = importlib.import_module(f"stages.{name}").main
        available = {**dict(params.restrict(values, declared)), "engine": engine or Here()}
        taken = inspect.signature(main).parameters
        main(record, **{key: value for key, value in available.items() if key in taken})
        _check_unchanged(name, pipeline, before)
        record.write(paths.record(name))
    _check_unchanged(name, pipeline, before)  # the observer can take seconds to end


def _check_unchanged(name: str, pipeline: Pipeline, before: Mapping[str, Any]) -> None:
    """Raise SeedlingsError if what DVC records of a stage when it ends changed while it ran."""
    after = pipeline.recorded(name, params.flatten(params.read()))
    changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    if changed:
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise SeedlingsError(
            "expected the parameters, code and data of the stage to stay as they are until it "
            f"ends, found changed: {', '.join(changed[:_SHOWN])}{more}; DVC would record them with "
            "the result of the earlier ones. Run `dvc repro` again; `dvc exp run --temp` runs in a "
            "copy, so that the workspace can be edited meanwhile"
        )
