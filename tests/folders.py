"""A folder in place of a clone of a project."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folder:
    """An empty folder, but for its dvc.lock."""

    folder: Path
    lock: str = ""

    def make(self) -> None:
        self.folder.mkdir()
        if self.lock:
            (self.folder / "dvc.lock").write_text(self.lock, encoding="utf-8")
