"""Presets: params.yaml composed from conf/, with the comments of conf/base.yaml.

`conf/base.yaml` has all keys with their defaults. A preset names one file of each group and sets
other keys. Later values replace earlier ones: base, data, model, augment, train, the preset, and
the changes on the command line.
"""

import os
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from seedlings import params as all_params
from seedlings.config import params, paths, yaml_files
from seedlings.config.params import Section
from seedlings.errors import SeedlingsError
from seedlings.io.files import replacing
from seedlings.params import Params

BASE = paths.CONF / "base.yaml"
GROUPS = ("data", "model", "augment", "train")
ORIGIN = "composed_from"
Differences = dict[str, tuple[Any, Any]]


def names() -> list[str]:
    """Return the names of all presets, sorted."""
    return _names("preset")


def compose(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the parameters that `NAME [GROUP=FILE ...] [KEY=VALUE ...]` composes, as plain values.

    Where a parameter is a text, its value is taken as it is typed, and read as YAML elsewhere.
    Raises SeedlingsError for an unknown preset, file or key, and for a value that is not valid.
    """
    name, *changes = arguments
    tree: dict[str, Any] = {}
    _merge(tree, _read(BASE), BASE)
    path = _file("preset", name)
    preset = _read(path)
    files = _files(preset.pop("groups", None), path)
    values = []
    for change in changes:
        key, text = _split(change)
        if key in GROUPS:
            files[key] = _file(key, text)
        else:
            values.append((key, _value(key, text)))
    for group in GROUPS:
        _merge(tree, _read(files[group]), files[group])
    _merge(tree, preset, path)
    for key, value in values:
        _put(tree, key, value)
    return {**tree, ORIGIN: shlex.join(arguments)}


def origin() -> str:
    """Return the arguments from which params.yaml was composed.

    Raises SeedlingsError if it is missing, not valid YAML, or does not have them.
    """
    here = params.read()
    found = here.get(ORIGIN) if isinstance(here, dict) else None
    if not isinstance(found, str):
        raise SeedlingsError(
            f"{paths.PARAMS}: expected the arguments of `seedlings preset` in {ORIGIN}, "
            f"found {found!r}"
        )
    return found


def edits() -> Differences:
    """Return the edited keys of params.yaml, each with its value and its composed value.

    Raises SeedlingsError if its `composed_from` is no longer valid.
    """
    given = origin()
    try:
        arguments = shlex.split(given)
    except ValueError as error:  # a quotation mark that is not closed
        raise SeedlingsError(f"{ORIGIN}: {given}: {error}") from error
    return _differences(params.read(), compose(arguments or [""]))


def write(arguments: Sequence[str], kept: Mapping[str, Any] | None = None) -> Differences:
    """Compose and write params.yaml, with the edits `kept`; return the changes: before, after.

    Raises SeedlingsError as `compose` does, and if the result is not valid.
    """
    values = compose(arguments)
    _merge(values, kept or {}, paths.PARAMS)
    all_params.check(values)
    before = _before()
    text = render(values)
    with replacing(paths.PARAMS) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return _differences(before, values)


def render(values: Mapping[str, Any]) -> str:
    """Return the text of params.yaml for values, with the comments of conf/base.yaml."""
    return yaml_files.edit(BASE.read_text(encoding="utf-8"), values)


def _before() -> dict[str, Any]:
    """Return params.yaml, which is replaced, as plain values; empty if it is not valid."""
    try:
        here = params.read()
    except SeedlingsError:
        return {}
    return here if isinstance(here, dict) else {}


def _names(group: str) -> list[str]:
    return sorted(path.stem for path in (paths.CONF / group).glob("*.yaml"))


def _file(group: str, name: str) -> Path:
    """Return the path of a file of a group, or of a preset."""
    folder = paths.CONF / group
    if name not in _names(group):
        known = _names(group)
        what = "a preset" if group == "preset" else f"a file of {folder}"
        raise SeedlingsError(
            f"{group}: expected {what} ({', '.join(known)}), found {name!r}"
            + params.did_you_mean(name, known)
        )
    return folder / f"{name}.yaml"


def _read(path: Path) -> dict[str, Any]:
    values = yaml_files.read(path)
    if not isinstance(values, dict):
        raise SeedlingsError(f"{path}: expected keys with values, found {values!r}")
    return values


def _files(selected: Any, path: Path) -> dict[str, Path]:
    """Return the file of each group that the preset at `path` selects."""
    if not isinstance(selected, dict) or set(selected) != set(GROUPS):
        raise SeedlingsError(
            f"{path}: expected `groups` with one file of each group ({', '.join(GROUPS)}), "
            f"found {selected!r}"
        )
    try:
        return {group: _file(group, str(name)) for group, name in selected.items()}
    except SeedlingsError as error:
        raise SeedlingsError(f"{path}: groups.{error}") from error


def _split(change: str) -> tuple[str, str]:
    """Return the key and the value of an argument."""
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise SeedlingsError(f"expected GROUP=FILE or KEY=VALUE, found {change!r}")
    kinds = {unicodedata.category(character) for character in text}
    if "Cs" in kinds:  # how Python reads an argument that is not UTF-8
        raise SeedlingsError(f"{key}: expected text in UTF-8, found {os.fsencode(text)!r}")
    if "Cc" in kinds:
        raise SeedlingsError(
            f"{key}: expected a text without line breaks and other control characters, "
            f"found {text!r}"
        )
    return key, text


def _value(key: str, text: str) -> Any:
    """Return the value of a key from its text on the command line."""
    types = params.value_types(key, Params)
    if key == ORIGIN:
        raise SeedlingsError(f"{key}: expected another key, as `seedlings preset` writes this one")
    if str not in types:
        try:
            return yaml_files.parse(text)
        except SeedlingsError as error:
            raise SeedlingsError(f"{key}: found {text!r}, which is {error}") from error
    if NoneType in types and text == "null":
        return None
    if int in types and re.fullmatch("0|-?[1-9][0-9]{0,8}", text):
        return int(text)
    return text


def _merge(tree: dict[str, Any], values: Mapping[str, Any], path: Path) -> None:
    """Set values, which are from the file at `path`, in a tree."""
    for key, value in values.items():
        try:
            _put(tree, str(key), value)
        except SeedlingsError as error:
            raise SeedlingsError(f"{path}: {error}") from error


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a parameter, or parameters of a section, whose other keys keep their values."""
    section = params.section_of(params.value_types(key, Params))
    if section is None:
        *sections, last = key.split(".")
        for name in sections:
            tree = tree.setdefault(name, {})
        tree[last] = value
    elif isinstance(value, dict):
        for name, inner in value.items():
            _put(tree, f"{key}.{name}", inner)
    else:
        keys = ", ".join(section.model_fields)
        raise SeedlingsError(f"{key}: expected keys with values ({keys}), found {value!r}")


def _values(tree: Any, section: type[Section] = Params, prefix: str = "") -> dict[str, Any]:
    """Return the values of a tree by their full keys; explain.filters has one, a mapping."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        inner = params.section_of(params.field_types(section, name))
        if inner is not None and isinstance(value, dict):
            found |= _values(value, inner, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Differences:
    one, other = _values(first), _values(second)
    return {
        key: (one.get(key), other.get(key))
        for key in dict.fromkeys([*one, *other])
        if key != ORIGIN and one.get(key) != other.get(key)
    }
