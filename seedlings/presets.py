"""Presets: conf/ composed into one tree of parameters, as `dvc exp run` composes it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seedlings import layout, params
from seedlings.errors import SeedlingsError
from seedlings.files import replacing

_CONFIG = layout.CONF / "config.yaml"


def names() -> list[str]:
    """The presets that there are."""
    return sorted(path.stem for path in (layout.CONF / "preset").glob("*.yaml"))


def compose(changes: Sequence[str] = ()) -> str:
    """The text of params.yaml: the default with some changes, `preset=digits` or `seed=3`.

    Raises SeedlingsError for changes that Hydra does not take.
    """
    from hydra import compose, initialize_config_dir  # a second to import
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    try:
        with initialize_config_dir(str(Path.cwd() / layout.CONF), version_base=None):
            tree = compose(_CONFIG.stem, overrides=list(changes))
    except HydraException as error:
        reason = str(error).strip().splitlines()[0]
        raise SeedlingsError(f"{layout.CONF}: {' '.join(changes)}: {reason}") from error
    OmegaConf.resolve(tree)
    return OmegaConf.to_yaml(tree)


def choose(preset: str) -> None:
    """Make a preset the default of conf/, and params.yaml what that composes to.

    Raises SeedlingsError for an unknown preset, and where the result is no valid params.yaml.
    """
    if preset not in names():
        raise SeedlingsError(f"expected one of {', '.join(names())}, found {preset!r}")
    text = compose([f"preset={preset}"])
    params.check(params.parse(text))
    config = _CONFIG.read_text(encoding="utf-8")
    default = re.sub(r"(?m)^( *- preset: *)\w+", rf"\g<1>{preset}", config)
    for path, content in ((_CONFIG, default), (layout.PARAMS, text)):
        with replacing(path) as scratch:
            scratch.write_text(content, encoding="utf-8")


def differences() -> dict[str, tuple[Any, Any]]:
    """Where params.yaml is not what conf/ composes to: key, value there, composed value."""
    here = params.flatten(params.read())
    composed = params.flatten(params.parse(compose()))
    return {
        key: (here.get(key), composed.get(key))
        for key in sorted(here.keys() | composed.keys())
        if here.get(key) != composed.get(key)
    }
