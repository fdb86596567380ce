"""Names of classes and files: one Unicode form, and names that only look different to a computer.

The letter é is one code point in the form NFC, and two in NFD, which macOS uses for files.
"""

import unicodedata
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

from seedlings.errors import SeedlingsError


def normal(name: str) -> str:
    """Return a name in Unicode's form NFC."""
    return unicodedata.normalize("NFC", name)


def below(folder: Path, path: str) -> Path:
    """Return the path of a file or folder below another, in the Unicode form that it has there."""
    found = folder
    for part in PurePosixPath(path).parts:
        others = sorted(found.iterdir()) if found.is_dir() and not (found / part).exists() else []
        same = (other for other in others if normal(other.name) == normal(part))
        found = next(same, found / part)
    return found


def check_distinct(places: Mapping[str, str], where: str, advice: str) -> None:
    """Raise SeedlingsError if names of classes differ in case, blanks or Unicode form alone.

    `places` has the place of each name in the data, for the message. The case of a single letter
    counts, as `A` and `a` are classes of handwriting.
    """
    alike: dict[str, list[str]] = {}
    for name in places:
        alike.setdefault(_letters(name), []).append(name)
    found = [
        " and ".join(f"{name!r} ({places[name]})" for name in sorted(names))
        for names in alike.values()
        if len(names) > 1
    ]
    if found:
        raise SeedlingsError(
            f"{where}: expected names of classes that differ in more than case, blanks or Unicode "
            f"form, found {'; '.join(found)}; {advice}"
        )


def _letters(name: str) -> str:
    """Return what a reader sees of a name: without case, outer blanks and invisible characters."""
    compatible = unicodedata.normalize("NFKC", name)
    visible = "".join(letter for letter in compatible if unicodedata.category(letter) != "Cf")
    words = " ".join(visible.split())
    return words if len(words) == 1 else words.lower()


class Files:
    """The files below a folder, which are found by another Unicode form of their paths, too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, path: PurePosixPath) -> str | None:
        """Return the path of a file as the folder has it, or None. Raises OSError."""
        if (self.folder / path).is_file():
            return str(path)
        return self._by_name.get(normal(str(path)))

    def similar(self, path: PurePosixPath) -> str | None:
        """Return the path of a file that differs from `path` in case, blanks or form alone."""
        return self._by_letters.get(_letters(str(path)))

    @cached_property
    def _by_name(self) -> dict[str, str]:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        paths = sorted(path.relative_to(self.folder).as_posix() for path in files)
        return {normal(path): path for path in paths}

    @cached_property
    def _by_letters(self) -> dict[str, str]:
        return {_letters(path): path for path in self._by_name.values()}
