"""The pipeline: the stages that dvc.yaml declares, and the hashes in dvc.lock."""

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from seedlings.config import paths
from seedlings.errors import SeedlingsError

FIRST_STAGE = "download"
FINAL_STAGE = "evaluate"
PACKAGE_STAGE = "package"
# What PyYAML raises for an invalid date, number, boolean or tag, and for a tree that is too deep.
_NO_YAML = (yaml.YAMLError, ValueError, KeyError, AttributeError, TypeError, RecursionError)


class _Loader(yaml.SafeLoader):
    """A safe loader of YAML 1.2, which DVC uses: 1e-3 is a number, `on` and 1:30 are texts."""


_FastLoader: Any = type("_FastLoader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {})
_SCALARS = {  # as the library of DVC reads them, ruamel.yaml
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)",
    "float": r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9_]+)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
_FIRST = list("tTfF-+.0123456789")


def _integer(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node).replace("_", "")
    return int(text, 0 if text.lstrip("-+")[:2] in ("0b", "0o", "0x") else 10)


for _loader in (_Loader, _FastLoader):
    _loader.yaml_implicit_resolvers = {
        first: [(tag, p) for tag, p in resolvers if tag.rpartition(":")[2] not in _SCALARS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for _name, _pattern in _SCALARS.items():
        _loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _FIRST
        )
    _loader.add_constructor("tag:yaml.org,2002:int", _integer)
CODE = ("stages/", "seedlings/", "requirements.lock")


def read_yaml(path: Path) -> Any:
    """Return a YAML file as plain values. Raises SeedlingsError if it is missing or not valid."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SeedlingsError(
            f"expected {path} in {Path.cwd()}, found none; run from the project's root"
        ) from error
    except _NO_YAML as error:
        raise SeedlingsError(f"{path} is not valid YAML: {error}") from error


def code() -> list[Path]:
    """Return all files of code that stages depend on, directly or in a folder, sorted."""
    entries = parse_stages(paths.PIPELINE.read_text(encoding="utf-8")).values()
    return _code_files({dep for entry in entries for dep in entry["deps"]})


def _code_files(deps: Iterable[str]) -> list[Path]:
    """Return the scripts, modules, templates, weights and requirements.lock in `deps`, sorted."""
    found: set[Path] = set()
    for dep in map(Path, filter(lambda dep: dep.startswith(CODE), deps)):
        found |= {path for path in dep.rglob("*") if path.is_file()} if dep.is_dir() else {dep}
    return sorted(p for p in found if p.exists() and p.parent.name != "__pycache__")


def parse(text: str) -> Any:
    """Return YAML text as plain values. Raises the exceptions of PyYAML."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader


def locked() -> dict[str, Any]:
    """Return the stages of dvc.lock; empty if no stage has run yet."""
    return parse_stages(paths.LOCK.read_text(encoding="utf-8")) if paths.LOCK.exists() else {}


def parse_stages(text: str) -> dict[str, Any]:
    """Return the stages in the text of a dvc.lock or dvc.yaml; empty for an empty text."""
    return (yaml.load(text, Loader=_FastLoader) or {}).get("stages", {})  # noqa: S506 - safe


def stages() -> list[str]:
    """Return the names of the stages, in the order of dvc.yaml."""
    return list(parse_stages(paths.PIPELINE.read_text(encoding="utf-8")))


def reads(stage: str) -> list[str]:
    """Return the names of the stages whose outputs a stage reads, sorted."""
    entries = parse_stages(paths.PIPELINE.read_text(encoding="utf-8"))
    makers = {out: name for name, entry in entries.items() for out in entry.get("outs", [])}
    return sorted({makers[dep] for dep in entries[stage]["deps"] if dep in makers})


def outputs(stage: str) -> list[Path]:
    """Return the paths of the outputs that a stage declares."""
    entry = parse_stages(paths.PIPELINE.read_text(encoding="utf-8"))[stage]
    return [Path(out) for out in entry.get("outs", [])]


def sections(stage: str) -> set[str]:
    """Return the sections of params.yaml from which a stage declares parameters."""
    return {name.split(".")[0] for name in _declared(stage)}


def declared(stage: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters, by their full keys, that a stage declares."""
    names = _declared(stage)
    return {
        key: value
        for key, value in params.items()
        if any(key == name or key.startswith(f"{name}.") for name in names)
    }


def _declared(stage: str) -> list[str]:
    return list(parse_stages(paths.PIPELINE.read_text(encoding="utf-8"))[stage].get("params", []))


def is_code(path: str) -> bool:
    """Return whether the path of a dep is that of a script, a room, or requirements.lock."""
    return path.startswith(CODE)


def recorded(stage: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what DVC records of a stage when it ends, and could change while the stage runs.

    These are its parameters, the SHA-256 of each file of its code and, for the first stage, size
    and time of each file at data.path, by key or path.
    """
    code = {str(file): sha256(file.read_bytes()).hexdigest() for file in _code_files(_deps(stage))}
    data = stamps(Path(params["data.path"])) if stage == FIRST_STAGE else {}
    return {**params, **code, **data}


def stamps(source: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change (ns) of each file of a file or folder, by path, sorted."""
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    found = {str(file): file.lstat() for file in files if file.exists() or file.is_symlink()}
    return {path: (status.st_size, status.st_mtime_ns) for path, status in found.items()}


def locked_inputs(stage: str) -> dict[str, str]:
    """Return the hashes in dvc.lock of the inputs of a stage, by path."""
    entries = locked().values()
    hashes = {out["path"]: out["md5"] for entry in entries for out in entry.get("outs", [])}
    return {path: hashes[path] for path in _deps(stage) if path in hashes}


def _deps(stage: str) -> list[str]:
    deps = parse_stages(paths.PIPELINE.read_text(encoding="utf-8"))[stage]["deps"]
    return list(deps)
