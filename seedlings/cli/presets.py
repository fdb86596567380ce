"""Presets: params.yaml composed from conf/, with the comments of conf/base.yaml.

`conf/base.yaml` has all keys with their defaults; a preset selects one file of each group and sets
other keys. Hydra composes the values; they are written with the comments.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seedlings import params as all_params
from seedlings import params_file
from seedlings.config import params, paths
from seedlings.errors import SeedlingsError
from seedlings.io.files import replacing

ORIGIN = "composed_from"
Differences = dict[str, tuple[Any, Any]]


def names() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(path.stem for path in (paths.CONF / "preset").glob("*.yaml"))


def compose(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the parameters that `NAME [GROUP=FILE ...] [KEY=VALUE ...]` composes, as plain values.

    Raises SeedlingsError for an unknown preset, and for a change that Hydra rejects.
    """
    from hydra import compose, initialize_config_dir  # slow to import
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    name, *changes = arguments
    if name not in names():
        raise SeedlingsError(f"expected a preset ({', '.join(names())}), found {name!r}")
    try:
        with initialize_config_dir(str(Path.cwd() / paths.CONF), version_base=None):
            tree = compose("config", overrides=[f"preset={name}", *changes])
    except HydraException as error:
        reason = str(error).strip().splitlines()[0]
        raise SeedlingsError(f"{paths.CONF}: {shlex.join(arguments)}: {reason}") from error
    values: Any = OmegaConf.to_container(tree, resolve=True)
    return {**values, ORIGIN: shlex.join(arguments)}


def edits() -> Differences:
    """Return the edited keys of params.yaml, each with its value and its composed value.

    Raises SeedlingsError if its `composed_from` is no longer valid.
    """
    here = params.read()
    return _differences(here, compose(shlex.split(str(here.get(ORIGIN, "")) or "?")))


def write(arguments: Sequence[str], kept: Mapping[str, Any] | None = None) -> Differences:
    """Compose and write params.yaml, with the edits `kept`; return the changes: before, after.

    Raises SeedlingsError as `compose` does, and if the result is not valid.
    """
    values = compose(arguments)
    for key, value in (kept or {}).items():
        _set(values, key, value)
    all_params.check(values)
    before = params.read() if paths.PARAMS.exists() else {}
    text = render(values)
    with replacing(paths.PARAMS) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return _differences(before, values)


def render(values: Mapping[str, Any]) -> str:
    """Return the text of params.yaml for values, with the comments of conf/base.yaml."""
    return params_file.edit((paths.CONF / "base.yaml").read_text(encoding="utf-8"), values)


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    branch: Any = values
    for section in sections:
        branch = branch.get(section) if isinstance(branch, dict) else None
    if not isinstance(branch, dict):
        raise SeedlingsError(
            f"{paths.PARAMS}: the edit {key}: {value} cannot be kept, as the preset has no such "
            "section; use --drop, then set the value again"
        )
    branch[last] = value


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Differences:
    one, other = params.flatten(first), params.flatten(second)
    return {
        key: (one.get(key), other.get(key))
        for key in dict.fromkeys([*one, *other])
        if key != ORIGIN and one.get(key) != other.get(key)
    }
