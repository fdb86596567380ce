"""The pipeline: the stages that dvc.yaml declares, and the hashes in dvc.lock."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from seedlings.config import paths, yaml_files
from seedlings.errors import SeedlingsError

FIRST_STAGE = "download"
FINAL_STAGE = "evaluate"
PACKAGE_STAGE = "package"
CODE = ("stages/", "seedlings/", "requirements.lock")


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


def locked() -> dict[str, Any]:
    """Return the stages of dvc.lock; empty if no stage has run yet."""
    return parse_stages(paths.LOCK.read_text(encoding="utf-8")) if paths.LOCK.exists() else {}


def parse_stages(text: str) -> dict[str, Any]:
    """Return the stages in the text of a dvc.lock or dvc.yaml; empty for an empty text."""
    return (yaml_files.parse(text) or {}).get("stages", {})


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


def fingerprint(stage: str, params: Mapping[str, Any], inputs: Collection[str] = ()) -> str:
    """Return the SHA-256, 64 hex digits, of what a result of a stage depends on.

    That is its parameters, its code, requirements.lock, and the content of its deps `inputs`.
    """
    hashes = dep_hashes(stage, lambda path: is_code(path) or path in inputs)
    text = json.dumps([stage, dict(params), hashes], sort_keys=True)
    return sha256(text.encode()).hexdigest()


def is_code(path: str) -> bool:
    """Return whether the path of a dep is that of a script, a room, or requirements.lock."""
    return path.startswith(CODE)


def inputs(stage: str) -> list[str]:
    """Return the deps of a stage that other stages write."""
    entries = parse_stages(paths.PIPELINE.read_text(encoding="utf-8")).values()
    made = {out for entry in entries for out in entry.get("outs", [])}
    return [dep for dep in _deps(stage) if dep in made]


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


def dep_hashes(stage: str, wanted: Callable[[str], bool]) -> dict[str, str]:
    """Return DVC's hashes of the deps of a stage whose paths are `wanted`, by path.

        They are those of the files on disk now.
    DVC hashes only files that changed. The hashes in dvc.lock
        may be those of an earlier run.
        Raises SeedlingsError outside a repository of DVC.
    """
    from dvc.dependency.param import ParamsDependency  # slow to import
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            (entry,) = repo.stage.collect(stage)
            files = [dep for dep in entry.deps if not isinstance(dep, ParamsDependency)]
            chosen = [dep for dep in files if wanted(dep.def_path)]
            return {dep.def_path: str(dep.get_hash().value) for dep in chosen}
    except NotDvcRepoError as error:
        raise SeedlingsError(
            f"expected a repository of DVC in {Path.cwd()}, found none; run `dvc init`"
        ) from error


def _deps(stage: str) -> list[str]:
    deps = parse_stages(paths.PIPELINE.read_text(encoding="utf-8"))[stage]["deps"]
    return list(deps)
