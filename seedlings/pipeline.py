"""The pipeline: what dvc.yaml declares of each stage, and what dvc.lock knows of its outputs."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from seedlings import layout
from seedlings.errors import SeedlingsError

FIRST_STAGE = "download"
FINAL_STAGE = "evaluate"
# What PyYAML raises for a wrong date, number, boolean or tag, and for a tree too deep.
_NO_YAML = (yaml.YAMLError, ValueError, KeyError, AttributeError, TypeError, RecursionError)
CODE = ("stages/", "seedlings/")


def read_yaml(path: Path) -> Any:
    """A YAML file as plain values. Raises SeedlingsError where it is missing or not valid."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SeedlingsError(
            f"expected {path} in {Path.cwd()}, found none; run from the project's root"
        ) from error
    except _NO_YAML as error:
        raise SeedlingsError(f"{path} is not valid YAML: {error}") from error


def code() -> list[Path]:
    """Every script, library module and template that a stage declares, sorted."""
    entries = read_yaml(layout.PIPELINE)["stages"].values()
    deps = {Path(dep) for entry in entries for dep in entry["deps"] if dep.startswith(CODE)}
    return sorted(dep for dep in deps if dep.exists())


def locked() -> dict[str, Any]:
    """The stages of dvc.lock; empty where nothing has run yet."""
    return parse_lock(layout.LOCK.read_text(encoding="utf-8")) if layout.LOCK.exists() else {}


def parse_lock(text: str) -> dict[str, Any]:
    """The stages of the text of some dvc.lock; empty for an empty text."""
    return (yaml.safe_load(text) or {}).get("stages", {})


def stages() -> list[str]:
    """The names of the stages, in their order."""
    return list(read_yaml(layout.PIPELINE)["stages"])


def reads(stage: str) -> list[str]:
    """The earlier stages whose outputs a stage reads, sorted."""
    entries = read_yaml(layout.PIPELINE)["stages"]
    makers = {out: name for name, entry in entries.items() for out in entry.get("outs", [])}
    return sorted({makers[dep] for dep in entries[stage]["deps"] if dep in makers})


def sections(stage: str) -> set[str]:
    """The sections of params.yaml of which a stage declares something."""
    return {name.split(".")[0] for name in _declared(stage)}


def declared(stage: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Of parameters by their full keys, those that a stage declares."""
    names = _declared(stage)
    return {
        key: value
        for key, value in params.items()
        if any(key == name or key.startswith(f"{name}.") for name in names)
    }


def _declared(stage: str) -> list[str]:
    return list(read_yaml(layout.PIPELINE)["stages"][stage].get("params", []))


def fingerprint(stage: str, params: Mapping[str, Any]) -> str:
    """64 hex digits for all that a stage's result depends on.

    Its parameters, the bytes of its script and library modules, DVC's hashes of what it reads.
    """
    deps = read_yaml(layout.PIPELINE)["stages"][stage]["deps"]
    code = {dep: sha256(Path(dep).read_bytes()).hexdigest() for dep in deps if dep.endswith(".py")}
    everything = [stage, dict(params), code, input_hashes(stage)]
    return sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def input_hashes(stage: str) -> dict[str, str]:
    """DVC's hash of everything that earlier stages wrote and this one reads."""
    entries = locked().values()
    hashes = {out["path"]: out["md5"] for entry in entries for out in entry.get("outs", [])}
    deps = read_yaml(layout.PIPELINE)["stages"][stage]["deps"]
    return {path: hashes[path] for path in deps if path in hashes}
