"""The text of params.yaml: new values in a text with comments."""

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq


def edit(text: str, values: Mapping[str, Any]) -> str:
    """Return a text of YAML with other values and with its comments.

    `values` is a tree, or a part of one; a key that the text does not have is added.
    """
    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    yaml.representer.add_representer(type(None), _null)
    yaml.representer.add_representer(float, _float)
    tree = yaml.load(text)
    _fill(tree, values)
    found = io.StringIO()
    yaml.dump(tree, found)
    return found.getvalue()


def _fill(tree: Any, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            if not tree[key]:
                tree[key] = value
            else:
                _fill(tree[key], value)
        elif key not in tree or not _same(tree[key], value):
            tree[key] = _flow(value) if isinstance(value, list) else value


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, with 1, 1.0 and True all different."""
    return one == other and all(isinstance(one, t) == isinstance(other, t) for t in (bool, float))


def _null(representer: Any, _value: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _float(representer: Any, value: float) -> Any:
    """Write 1e-07 as 1.0e-07, which YAML 1.1 also reads as a number."""
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return representer.represent_scalar("tag:yaml.org,2002:float", text)


def _flow(value: list[Any]) -> CommentedSeq:
    """Return a list that ruamel.yaml writes on one line."""
    found = CommentedSeq(value)
    found.fa.set_flow_style()
    return found
