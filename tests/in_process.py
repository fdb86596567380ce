"""The commands `dvc` and `seedlings`, and the stages that they run, in the process of the tests.

A process of its own imports TensorFlow, MLflow and DVC anew, which takes longer than most of what
a test asks of it. What is the same: the code, its arguments, folder, environment, output and exit
code. What differs: the settings of the processor are those of this process (`portable: true`), a
stage is logged in MLflow when it ends, by the run logger's own code, and not while it runs, and a
text of YAML is parsed once: DVC parses params.yaml, dvc.yaml and dvc.lock for every stage again.
tests/pipeline/test_repro.py compares the bytes with those of ordinary processes.
"""

import importlib.util
import logging
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from imports import ROOT
from ruamel.yaml import YAML

from seedlings import processor

STAGE = "python -m seedlings.run "
# Loggers keep the stream that they find, so there is one of each kind for all commands.
_STREAMS = {
    name: open(number, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    for name, number in (("stdout", 1), ("stderr", 2))
}
_LOGGERS = ("dvc", "dvc_objects", "dvc_data")
# Commands that start processes of their own.
SERVERS = ("cluster", "demo", "repeat", "review", "search", "serve", "ui")


def is_for_this_process(command: Sequence[str]) -> bool:
    """Whether it is a stage, a command of DVC, or one of Seedlings that starts no processes."""
    program, *arguments = command
    if program == "seedlings":
        return arguments[0] not in SERVERS
    return program == "dvc" or " ".join(command).startswith(STAGE)


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a command as if a process did; returns its exit code and what it printed."""
    program, *arguments = command
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        with _as_a_process(folder, environment), _printing_to(output), _parsing_once():
            code = _code(_COMMANDS[program], arguments)
        output.seek(0)
        return code, output.read()


def _code(main: Callable[[list[str]], int | None], arguments: list[str]) -> int:
    try:
        return main(arguments) or 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return int(ended.code or 0)


def _dvc(arguments: list[str]) -> int:
    from dvc import cli
    from dvc.stage import run as stage_run

    with ExitStack() as stack:
        for handler in (h for name in _LOGGERS for h in logging.getLogger(name).handlers):
            stream = "stderr" if handler.level >= logging.WARNING else "stdout"
            stack.enter_context(mock.patch.multiple(handler, stream=_STREAMS[stream]))
        stack.enter_context(mock.patch.multiple(stage_run, _run=_instead_of(stage_run._run)))
        return cli.main(arguments)


def _seedlings(arguments: list[str]) -> None:
    from seedlings import cli

    with mock.patch.multiple(sys, argv=["seedlings", *arguments]):
        cli.main()


def _stage(arguments: list[str]) -> None:
    """Run a stage as its launcher does; `arguments` are those of python."""
    from seedlings import run as launcher

    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session(free_memory=False)
    with (
        mock.patch.multiple(sys, argv=arguments[1:]),
        mock.patch.multiple(launcher, _logged=_logged),
        _stage_of_the_project(arguments[-1]),
    ):
        launcher.main()


_COMMANDS = {"dvc": _dvc, "python": _stage, "seedlings": _seedlings}


def _instead_of(real: Callable[..., None]) -> Callable[..., None]:
    """Return what DVC calls to run the command of a stage."""
    from dvc.stage.exceptions import StageCmdFailedError

    def run_command(executable: str, command: str, **options: Any) -> None:
        if not command.startswith(STAGE):
            real(executable, command, **options)
            return
        with _as_a_process(Path(options["cwd"]), options["env"]):
            code = _code(_stage, command.split()[1:])
        if code:
            raise StageCmdFailedError(command, code)

    return run_command


@contextmanager
def _logged(tree: Mapping[str, Any], record: Any) -> Iterator[None]:
    """Log a stage as the run logger does, when it has ended."""
    from seedlings import run as launcher
    from seedlings.tracking import run_logger

    messages: list[Mapping[str, Any]] = []
    try:
        with launcher.reported(tree, record, messages.append):
            yield
    finally:
        run_logger.log(messages)


@contextmanager
def _stage_of_the_project(name: str) -> Iterator[None]:
    """Let `stages.NAME` be the script in the current folder, if the test has changed it."""
    full = f"stages.{name}"
    script = Path("stages", f"{name}.py")
    if script.read_bytes() == (ROOT / script).read_bytes():
        yield
        return
    specification = importlib.util.spec_from_file_location(full, script.absolute())
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, full, module)  # modules that the stage imports stay
        yield


@contextmanager
def _as_a_process(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Have the folder and the environment of a process, and afterwards one's own again."""
    own = {**environment, **processor.SETTINGS}
    with chdir(folder), mock.patch.dict(os.environ, own, clear=True):
        yield


_parse = YAML.load


@contextmanager
def _parsing_once() -> Iterator[None]:
    """Parse each text of YAML once, by the parser that DVC and Seedlings use."""
    with mock.patch.multiple(YAML, load=_parsed):
        yield


def _parsed(parser: YAML, stream: Any) -> Any:
    """Return the plain values of a text; a file, or values with comments, are parsed each time."""
    if isinstance(stream, str) and parser.typ == ["safe"]:
        return pickle.loads(_pickled(stream))
    return _parse(parser, stream)


@lru_cache(maxsize=100)
def _pickled(text: str) -> bytes:
    return pickle.dumps(_parse(YAML(typ="safe", pure=True), text))


@contextmanager
def _printing_to(output: Any) -> Iterator[None]:
    """Let what is printed here, and by processes that start here, go to a file."""
    with ExitStack() as stack:
        for name, number in (("stdout", 1), ("stderr", 2)):
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(output.fileno(), number)
            stack.enter_context(mock.patch.multiple(sys, **{name: _STREAMS[name]}))
            stack.callback(_STREAMS[name].flush)
        yield
