"""YAML files, read as DVC reads them: YAML 1.2, in which `on` is a text and 1e-3 a number.

DVC's parser is the one in C, if it is installed; the one here names more of what is wrong.
"""

import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.resolver import VersionedResolver

from seedlings.errors import SeedlingsError

# What the parser raises for an invalid date, number or tag, and for a tree that is too deep.
_NO_YAML = (YAMLError, ValueError, KeyError, AttributeError, TypeError, RecursionError)
_YAML_1_1: Any = VersionedResolver(version=(1, 1))
_TEXT = "tag:yaml.org,2002:str"


def parse(text: str) -> Any:
    """Return a text of YAML as plain values. Raises SeedlingsError if it is not valid."""
    if re.search(r"^%YAML", text, re.MULTILINE):  # DVC's parser passes over it
        raise SeedlingsError(
            "expected no directive %YAML, found one; remove this line: files are read as YAML 1.2"
        )
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise SeedlingsError(f"not valid YAML: {error.problem}{place}") from error
    except _NO_YAML as error:
        raise SeedlingsError(f"not valid YAML: {error}") from error


def read(path: Path) -> Any:
    """Return a file of YAML as plain values. Raises SeedlingsError if it is missing or no YAML."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SeedlingsError(
            f"expected {path} in {Path.cwd()}, found none: this is not the root of a Seedlings "
            "project; run from the project's root"
        ) from error
    except (SeedlingsError, UnicodeDecodeError) as error:
        raise SeedlingsError(f"{path}: {error}") from error


def edit(text: str, values: Mapping[str, Any]) -> str:
    """Return a text of YAML with other values and with its comments, in the style of DVC.

    `values` is a tree, or a part of one; a key that the text does not have is added.
    """
    yaml = YAML()
    yaml.Representer = _Representer
    tree = yaml.load(text)
    _fill(tree, values)
    found = io.StringIO()
    yaml.dump(tree, found)
    return found.getvalue()


def _fill(tree: Any, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        here = tree.get(key)
        if here and isinstance(here, dict) and isinstance(value, dict):
            _fill(here, value)
        else:
            tree[key] = value


def dump(tree: Mapping[str, Any]) -> str:
    """Return a tree of plain values as a text of YAML, without breaks in its lines."""
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.width = sys.maxsize
    found = io.StringIO()
    yaml.dump(tree, found)
    return found.getvalue()


class _Representer(RoundTripRepresenter):
    """Writes values that readers of YAML 1.1 and of YAML 1.2 read alike, and others as DVC does."""

    def number(self, value: float) -> Any:
        """Write 1e-07 as 1.0e-07, which YAML 1.1 also reads as a number."""
        text = repr(value)
        if "e" in text and "." not in text:
            text = text.replace("e", ".0e")
        return self.represent_scalar("tag:yaml.org,2002:float", text)

    def text(self, value: str) -> Any:
        """Write in quotes what YAML 1.1 has other values for: on, 1_000, 1:30, a next line."""
        tag = _YAML_1_1.resolve(ScalarNode, value, (True, False))
        plain = tag == _TEXT and value.isprintable()
        quotes = "'" if value.isprintable() else '"'
        return self.represent_scalar(_TEXT, value, style=None if plain else quotes)


_Representer.add_representer(float, _Representer.number)
_Representer.add_representer(str, _Representer.text)
