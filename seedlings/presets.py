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
from typing import Any

from pydantic import TypeAdapter

from seedlings import params as all_params
from seedlings.config import params, paths, yaml_files
from seedlings.errors import SeedlingsError
from seedlings.io.files import replacing
from seedlings.params import Params

BASE = paths.CONF / "base.yaml"
GROUPS = ("data", "model", "augment", "train")
ORIGIN = "composed_from"
_PATHS = ("data.path", "extract.weights")
Differences = dict[str, tuple[Any, Any]]


def names(group: str = "preset") -> list[str]:
    """Return the names of all presets, or of the files of a group, sorted."""
    return sorted(path.stem for path in (paths.CONF / group).glob("*.yaml"))


def compose(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the parameters that `NAME [GROUP=FILE ...] [KEY=VALUE ...]` composes, as plain values.

    Where a parameter is a text, its value is taken as it is typed, and read as YAML elsewhere; `~`
    at the start of a path is the folder of the user, as in a shell. With a `data.url`, a preset for
    a folder reads an archive. Raises SeedlingsError for an unknown preset, file or key, and for a
    value that is not valid.
    """
    base = _read(BASE)
    name, *changes = map(_with_home, arguments)
    if "=" in name:
        raise SeedlingsError(f"expected the name of a preset first, found {name!r}")
    path = _file("preset", name)
    preset = _read(path)
    files = _files(preset.pop("groups", None), path)
    typed: dict[str, Any] = {}
    for change in changes:
        key, text = _split(change)
        if key in GROUPS:
            files[key] = _file(key, text)
        else:
            typed |= by_key({key: _value(key, text)})
    values: dict[str, Any] = {}
    for group in GROUPS:
        values |= _of_file(files[group], _read(files[group]))
    values |= _of_file(path, preset)
    if typed.get("data.url") and values.get("data.source") == "folder":
        values["data.source"] = "archive"  # what is at an address
    return params.changed(base, {**values, **typed, ORIGIN: shlex.join([name, *changes])})


def origin(tree: Any) -> str:
    """Return the arguments from which the parameters `tree` were composed.

    Raises SeedlingsError if the tree does not have them.
    """
    found = tree.get(ORIGIN) if isinstance(tree, dict) else None
    if not isinstance(found, str):
        raise SeedlingsError(
            f"{paths.PARAMS}: expected the arguments of `seedlings preset` in {ORIGIN}, "
            f"found {found!r}"
        )
    return found


def edits(tree: Any) -> Differences:
    """Return the edited keys of the parameters `tree`, each with its value and its composed value.

    Raises SeedlingsError if its `composed_from` is no longer valid, or a key is no parameter.
    """
    given = origin(tree)
    try:
        arguments = shlex.split(given)
    except ValueError as error:  # a quotation mark that is not closed
        raise SeedlingsError(f"{ORIGIN}: {given}: {error}") from error
    return differences(tree, compose(arguments or [""]))


def label(tree: Mapping[str, Any]) -> tuple[str, str]:
    """Return the preset of the parameters `tree`, and what was edited since: "finetune.epochs=30".

    The second is empty if nothing was, or if the preset or a key is of another version.
    """
    try:
        edited = edits(tree)
    except SeedlingsError:
        edited = {}
    return params.preset(tree), ", ".join(f"{key}={here}" for key, (here, _) in edited.items())


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Differences:
    """Return the keys whose values differ in two trees, each with both values."""
    one, other = by_key(first), by_key(second)
    return {
        key: (one[key], other[key])
        for key in one
        if key != ORIGIN and key in other and one[key] != other[key]
    }


def write(arguments: Sequence[str], kept: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Compose and write params.yaml, with other values `kept` by key; return its values.

    Raises SeedlingsError as `compose` does, and if the result is not valid.
    """
    values = params.changed(compose(arguments), kept or {})
    all_params.check(values)
    text = render(values)
    with replacing(paths.PARAMS) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return values


def missing(values: Mapping[str, Any]) -> list[str]:
    """Return the paths in the parameters at which there is nothing yet, each as a message."""
    data, weights = values["data"], str(values["extract"]["weights"])
    given = {"data.path": data["path"]}
    if data["source"] == "folder" and data["folder"]:
        given["data.folder"] = Path(data["path"], data["folder"])
    if weights.endswith(".h5") and "://" not in weights:
        given["extract.weights"] = weights
    return [
        f"{key}: expected a file or folder at {Path(path).absolute()}, found none; `dvc repro` "
        "fails until it is there"
        for key, path in given.items()
        if not Path(path).exists()
    ]


def queue_fails() -> str | None:
    """Return why DVC cannot run experiments in temporary folders of this project, or None.

    DVC (seen in 3.67) writes the path of its cache in ASCII into the configuration of the folder.
    """
    if str(Path.cwd()).isascii():
        return None
    from dvc.config import Config  # slow to import

    cache = str(Config(".dvc").get("cache", {}).get("dir", Path(".dvc/cache").absolute()))
    if cache.isascii():
        return None
    return (
        f"DVC fails to run `dvc queue start` and `dvc exp run --temp` with a cache whose path is "
        f"not ASCII, found {cache}; set another with `dvc cache dir --local FOLDER`"
    )


def render(values: Mapping[str, Any]) -> str:
    """Return the text of params.yaml for values, with the comments of conf/base.yaml."""
    return yaml_files.edit(BASE.read_text(encoding="utf-8"), values)


def by_key(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters by their full keys; a section has those of its keys.

    Raises SeedlingsError for a key that is no parameter.
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        section = params.section_of(_annotation(str(key)))
        if section is None:
            found[key] = value
        elif isinstance(value, dict):
            found |= by_key({f"{key}.{name}": inner for name, inner in value.items()})
        else:
            keys = ", ".join(section.model_fields)
            raise SeedlingsError(f"{key}: expected keys with values ({keys}), found {value!r}")
    return found


def _annotation(key: str) -> Any:
    """Return the annotation of a full key. Raises SeedlingsError if it is no parameter."""
    found: Any = Params
    above = ""
    for name in key.split("."):
        fields = getattr(found, "model_fields", {})
        if name not in fields:
            known = fields if above else [*fields, *GROUPS]
            raise SeedlingsError(
                f"{above}{name}: no such parameter{params.hint(name, known, above)}"
            )
        found = fields[name].annotation
        above += f"{name}."
    return found


def _file(group: str, name: str) -> Path:
    """Return the path of a file of a group, or of a preset."""
    known = names(group)
    if name not in known:
        prefix = f"{group}=" if group in GROUPS else ""
        raise SeedlingsError(
            f"{group}: expected a file of {paths.CONF / group} ({', '.join(known)}), found {name!r}"
            f"{params.similar(name, known, prefix)}"
        )
    return paths.CONF / group / f"{name}.yaml"


def _read(path: Path) -> dict[str, Any]:
    values = yaml_files.read(path)
    if not isinstance(values, dict):
        raise SeedlingsError(f"{path}: expected keys with values, found {values!r}")
    return values


def _of_file(path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a file sets, by their full keys."""
    try:
        return by_key(values)
    except SeedlingsError as error:
        raise SeedlingsError(f"{path}: {error}") from error


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


def _with_home(argument: str) -> str:
    """Return an argument with the folder of the user in place of `~`, if it sets a path.

    A shell replaces it only at the start of a word, and DVC nowhere.
    """
    key, _, text = argument.partition("=")
    if key in _PATHS and (text == "~" or text.startswith("~/")):
        return f"{key}={Path(text).expanduser()}"
    return argument


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
    if key == ORIGIN:
        raise SeedlingsError(f"{key}: expected another key, as `seedlings preset` writes this one")
    schema = TypeAdapter(_annotation(key)).json_schema()
    types = {kind.get("type") for kind in (schema, *schema.get("anyOf", []))}
    if "string" not in types:
        try:
            return yaml_files.parse(text)
        except SeedlingsError as error:
            raise SeedlingsError(f"{key}: found {text!r}, which is {error}") from error
    if "null" in types and text == "null":
        return None
    if "integer" in types and re.fullmatch("0|-?[1-9][0-9]{0,8}", text):
        return int(text)
    return text
