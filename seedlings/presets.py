"""Presets: conf/ composed into one tree of parameters, as `dvc exp run` composes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seedlings import layout, params
from seedlings.errors import SeedlingsError


def names() -> list[str]:
    """The presets that there are."""
    return sorted(path.stem for path in (layout.CONF / "preset").glob("*.yaml"))


def compose(preset: str, changes: Sequence[str] = ()) -> str:
    """The text of params.yaml for a preset with some changes, such as `finetune.epochs=3`.

    Raises SeedlingsError for an unknown preset, and for a change that Hydra does not take.
    """
    from hydra import compose, initialize_config_dir  # a second to import
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    if preset not in names():
        raise SeedlingsError(f"expected one of {', '.join(names())}, found {preset!r}")
    try:
        with initialize_config_dir(str(Path.cwd() / layout.CONF), version_base=None):
            tree = compose("config", overrides=[f"preset={preset}", *changes])
    except HydraException as error:
        reason = str(error).strip().splitlines()[0]
        raise SeedlingsError(f"{layout.CONF}: {' '.join(changes)}: {reason}") from error
    OmegaConf.resolve(tree)
    return OmegaConf.to_yaml(tree)


def differences() -> dict[str, tuple[Any, Any]]:
    """Where params.yaml is not what its preset composes to: key, value there, composed value."""
    here = params.flatten(params.read())
    composed = params.flatten(params.parse(compose(str(here.get("preset")))))
    return {
        key: (here.get(key), composed.get(key))
        for key in sorted(here.keys() | composed.keys())
        if here.get(key) != composed.get(key)
    }
