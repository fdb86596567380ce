"""The pipeline: the stages that dvc.yaml declares, and the hashes in dvc.lock."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from seedlings.config import paths, yaml_files

FIRST_STAGE = "download"
FINAL_STAGE = "evaluate"
CODE = ("stages/", "seedlings/", "requirements.lock")


@dataclass(frozen=True)
class Pipeline:
    """The stages of dvc.yaml by name, in its order."""

    stages: dict[str, Any]

    def outputs(self, stage: str) -> list[Path]:
        """Return the paths of the outputs that a stage declares."""
        return [Path(out) for out in self.stages[stage].get("outs", [])]

    def reads(self, stage: str) -> list[str]:
        """Return the names of the stages whose outputs a stage reads, sorted."""
        makers = {out: name for name in self.stages for out in self.outputs(name)}
        deps = map(Path, self.stages[stage]["deps"])
        return sorted({makers[dep] for dep in deps if dep in makers})

    def declared(self, stage: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters, by their full keys, that a stage declares."""
        names = self.stages[stage].get("params", [])
        return {
            key: value
            for key, value in params.items()
            if any(key == name or key.startswith(f"{name}.") for name in names)
        }

    def code(self, *stages: str) -> list[Path]:
        """Return the files of code that stages, by default all, depend on, sorted.

        A dep is a file, or a folder with all files in it.
        """
        names = stages or self.stages
        deps = {Path(dep) for name in names for dep in self.stages[name]["deps"] if is_code(dep)}
        inside = {path for dep in deps for path in dep.rglob("*")}
        files = (path for path in deps | inside if path.is_file())
        return sorted(path for path in files if path.parent.name != "__pycache__")

    def recorded(self, stage: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what DVC records of a stage when it ends, and could change while the stage runs.

        These are its parameters, the SHA-256 of each file of its code and of each input that people
        edit and, for the first stage, size and time of each file at data.path, by key or path.
        """
        by_people = (
            [paths.CORRECTIONS] if str(paths.CORRECTIONS) in self.stages[stage]["deps"] else []
        )
        files = [*self.code(stage), *filter(Path.is_file, by_people)]
        code = {str(file): sha256(file.read_bytes()).hexdigest() for file in files}
        data = stamps(Path(params["data.path"])) if stage == FIRST_STAGE else {}
        return {**self.declared(stage, params), **code, **data}

    def locked_inputs(self, stage: str) -> dict[str, str]:
        """Return the hashes in dvc.lock of the inputs of a stage, by path."""
        entries = locked().values()
        hashes = {out["path"]: out["md5"] for entry in entries for out in entry.get("outs", [])}
        return {dep: hashes[dep] for dep in self.stages[stage]["deps"] if dep in hashes}


def read() -> Pipeline:
    """Return the pipeline in dvc.yaml. Raises SeedlingsError if it is missing or no YAML."""
    return Pipeline(yaml_files.read(paths.PIPELINE)["stages"])


def locked() -> dict[str, Any]:
    """Return the stages of dvc.lock; empty if no stage has run yet."""
    return parse_stages(paths.LOCK.read_text(encoding="utf-8")) if paths.LOCK.exists() else {}


def parse_stages(text: str) -> dict[str, Any]:
    """Return the stages in the text of a dvc.lock or dvc.yaml; empty for an empty text."""
    return (yaml_files.parse(text) or {}).get("stages", {})


def is_code(path: str) -> bool:
    """Return whether the path of a dep is that of a script, a room, or requirements.lock."""
    return path.startswith(CODE)


def stamps(source: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change (ns) of each file of a file or folder, by path, sorted."""
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    found = {str(file): file.lstat() for file in files if file.exists() or file.is_symlink()}
    return {path: (status.st_size, status.st_mtime_ns) for path, status in found.items()}
