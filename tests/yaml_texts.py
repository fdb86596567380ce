"""Texts of YAML, each parsed once: DVC parses the same files for every stage, in Python."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from unittest import mock

from ruamel.yaml import YAML

_parse = YAML.load


@contextmanager
def parsed_once() -> Iterator[None]:
    """Let DVC and Seedlings parse a text once; a file, or comments, are parsed each time."""
    with mock.patch.multiple(YAML, load=_load):
        yield


def _load(parser: YAML, stream: Any) -> Any:
    if isinstance(stream, str) and parser.typ == ["safe"]:
        return pickle.loads(_pickled(stream))
    return _parse(parser, stream)


@lru_cache(maxsize=100)
def _pickled(text: str) -> bytes:
    return pickle.dumps(_parse(YAML(typ="safe", pure=True), text))
