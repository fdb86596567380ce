"""Runs a stage: a script in stages/, with the parameters that dvc.yaml declares for it."""

import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, get_type_hints

from seedlings import processor
from seedlings.config import params, paths, pipeline
from seedlings.config.params import Section
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.io import files
from seedlings.io.shards import Engine, Here

_SHOWN = 10

Observer = Callable[[Record], AbstractContextManager[None]]


def run(name: str, observe: Observer, engine: Engine | None = None) -> None:
    """Run the function `main` of stages/<name>.py and write its record.

    The function gets only the parameters that dvc.yaml declares for the stage, and the engine (by
    default this process) if it has an argument of that type. It runs inside the context manager
    `observe(record)`, with the processor's settings that `portable` asks for; a stage that does not
    declare `portable` computes no network and always has them. An output that a killed run has
    left under another name is put back first. Raises the exceptions of the function, and
    SeedlingsError if what DVC records of the stage changed while it ran.
    """
    tree = params.read()
    declared = pipeline.declared(name, params.flatten(tree))
    before = pipeline.recorded(name, declared)
    processor.use(portable=declared.get("portable", True))
    for path in pipeline.outputs(name):
        files.recover(path)
    record = Record(name, declared, pipeline.reads(name))
    with observe(record):
        main = importlib.import_module(f"stages.{name}").main
        kinds = get_type_hints(main)
        engines = {"engine": engine or Here()} if "engine" in kinds else {}
        values = {**tree, **_sections(kinds, tree)}
        record.params = _canonical(name, values)
        main(record, **_arguments(kinds, values, list(declared)), **engines)
        _check_unchanged(name, before)
        record.write(paths.record(name))
    _check_unchanged(name, before)  # the observer can take seconds to end


def _sections(kinds: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, Section]:
    """Return the sections that a function takes. Raises SeedlingsError for an invalid value."""
    return {
        name: params.check(tree[name], kind, name)
        for name, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, Section)
    }


def _arguments(
    kinds: Mapping[str, Any], values: Mapping[str, Any], declared: list[str]
) -> dict[str, Any]:
    """Return the keyword arguments of the `main` of a stage; a section has only declared keys."""
    found: dict[str, Any] = {}
    for name in kinds:
        value = values.get(name)
        if isinstance(value, Section):
            keys = [key.removeprefix(f"{name}.") for key in declared if key.startswith(f"{name}.")]
            found[name] = params.restrict(value, keys)
        elif name in declared:
            found[name] = value
    return found


def _canonical(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a stage declares, equal for files that are equal to DVC.

    To DVC, 1 equals 1.0, and the order of keys means nothing.
    """
    tree = {
        key: value.model_dump() if isinstance(value, Section) else value
        for key, value in sorted(values.items())
    }
    return pipeline.declared(name, params.flatten(tree))


def _check_unchanged(name: str, before: Mapping[str, Any]) -> None:
    """Raise SeedlingsError if what DVC records of a stage when it ends changed while it ran."""
    declared = pipeline.declared(name, params.flatten(params.read()))
    after = pipeline.recorded(name, declared)
    changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    if changed:
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise SeedlingsError(
            "expected the parameters, code and data of the stage to stay as they are until it "
            f"ends, found changed: {', '.join(changed[:_SHOWN])}{more}; DVC would record them with "
            "the result of the earlier ones. Run `dvc repro` again; `dvc exp run --temp` runs in a "
            "copy, so that the workspace can be edited meanwhile"
        )
