"""Runs a stage: a script in stages/, with the parameters that dvc.yaml declares for it."""

import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, get_type_hints

from seedlings import processor
from seedlings.config import params, paths, pipeline
from seedlings.config.params import Section
from seedlings.config.records import Record
from seedlings.io.shards import Engine, Here

Observer = Callable[[Record], AbstractContextManager[None]]


def run(name: str, observe: Observer, engine: Engine | None = None) -> None:
    """Run the function `main` of stages/<name>.py and write its record.

    The function gets only the parameters that dvc.yaml declares for the stage, and the engine (by
    default this process) if it has an argument of that type. It runs inside the context manager
    `observe(record)`, with the processor's settings that `portable` asks for; a stage that does not
    declare `portable` computes no network and always has them. Raises the exceptions of the
    function.
    """
    tree = params.read()
    declared = pipeline.declared(name, params.flatten(tree))
    processor.use(portable=declared.get("portable", True))
    record = Record(name, declared, pipeline.reads(name))
    with observe(record):
        main = importlib.import_module(f"stages.{name}").main
        engines = {"engine": engine or Here()} if "engine" in get_type_hints(main) else {}
        main(record, **arguments(main, tree, list(declared)), **engines)
        record.write(paths.record(name))


def arguments(
    main: Callable[..., None], tree: Mapping[str, Any], declared: list[str]
) -> dict[str, Any]:
    """Return the keyword arguments of the `main` of a stage.

    An argument with the type of a section is that section with only the declared keys; any other is
    a top-level key of params.yaml. Raises SeedlingsError for a value that is not allowed.
    """
    found: dict[str, Any] = {}
    for name, kind in get_type_hints(main).items():
        if name in ("record", "engine", "return"):
            continue
        if issubclass(kind, Section):
            keys = [key.removeprefix(f"{name}.") for key in declared if key.startswith(f"{name}.")]
            found[name] = params.restrict(params.check(tree[name], kind, name), keys)
        elif name in declared:
            found[name] = tree[name]
    return found
