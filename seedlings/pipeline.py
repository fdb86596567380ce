"""The pipeline: what dvc.yaml declares of each stage, and what dvc.lock knows of its outputs."""

from pathlib import Path
from typing import Any

import yaml

from seedlings import layout
from seedlings.errors import SeedlingsError


def read_yaml(path: Path) -> Any:
    """A YAML file as plain values. Raises SeedlingsError where it is missing or not valid."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SeedlingsError(
            f"expected {path} in {Path.cwd()}, found none; run from the project's root"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SeedlingsError(f"{path} is not valid YAML: {error}") from error


def stages() -> list[str]:
    """The names of the stages, in their order."""
    return list(read_yaml(layout.PIPELINE)["stages"])


def sections(stage: str) -> set[str]:
    """The sections of params.yaml that a stage declares."""
    declared = read_yaml(layout.PIPELINE)["stages"][stage].get("params", [])
    return {name.split(".")[0] for name in declared}


def input_hashes(stage: str) -> dict[str, str]:
    """DVC's hash of everything that earlier stages wrote and this one reads."""
    if not layout.LOCK.exists():
        return {}
    locked = read_yaml(layout.LOCK).get("stages", {})
    hashes = {out["path"]: out["md5"] for entry in locked.values() for out in entry.get("outs", [])}
    deps = read_yaml(layout.PIPELINE)["stages"][stage]["deps"]
    return {path: hashes[path] for path in deps if path in hashes}
