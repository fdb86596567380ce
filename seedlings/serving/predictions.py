"""Predictions of a packaged model for files and folders of images."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from seedlings import images
from seedlings.errors import SeedlingsError
from seedlings.images import BadImageError
from seedlings.io.path_filters import is_leftover
from seedlings.io.progress import bar
from seedlings.serving.predictor import Predictor

_BATCH = 32


def of_files(predictor: Predictor, paths: Sequence[Path]) -> tuple[pd.DataFrame, list[str]]:
    """Return a table with a row for each image, and a message for each file that is skipped.

    `paths` are files and folders; all files below a folder are read, in batches. The columns are
    `path`, in which bytes that are not UTF-8 are escaped, and the columns of Predictor.answer.
    Raises SeedlingsError if a path does not exist or if there are no files.
    """
    parts: list[pd.DataFrame] = []
    bad: list[str] = []
    found = [file for path in paths for file in _files(path, bad)]
    if not found and not bad:
        raise SeedlingsError(f"expected images in {', '.join(map(str, paths))}, found none")
    with bar(None, "predict", unit="image", total=len(found)) as shown:
        for start in range(0, len(found), _BATCH):
            batch = found[start : start + _BATCH]
            good = dict(_decoded(batch, bad))
            if good:
                answers = predictor.answer(list(good.values()))
                answers.insert(0, "path", [_printable(path) for path in good])
                parts.append(answers)
            shown.update(len(batch))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"path": []}), bad


def text(table: pd.DataFrame, form: str | None) -> str:
    """Return the table in the format `json` or `csv`, or as aligned columns if `form` is None.

    A CSV has one column for each class or tag; aligned columns have no `probabilities`.
    """
    if form == "json":
        return table.to_json(orient="records", indent=2, force_ascii=False) + "\n"
    flat = table.drop(columns="probabilities", errors="ignore")
    if form == "csv":
        if "probabilities" in table:
            named = pd.DataFrame(table["probabilities"].tolist()).round(6)
            flat = flat.join(named, suffixes=("", " (probability)"))
        return flat.to_csv(index=False, lineterminator="\n")
    return flat.round(4).to_string(index=False) + "\n"


def _files(path: Path, bad: list[str]) -> Iterator[Path]:
    """Yield `path` if it is a file, or else all files below it, sorted, without system files.

    Adds a message to `bad` for each folder that is skipped.
    """
    if not path.is_dir():
        if not path.exists():
            raise SeedlingsError(f"expected a file or a folder at {path}, found nothing")
        yield path
        return
    for found in (path, *sorted(path.rglob("*"))):
        if not os.path.isdir(found):  # noqa: PTH112 - Path.is_dir raises PermissionError here
            if not is_leftover(PurePosixPath(found.relative_to(path))):
                yield found
        elif found.is_symlink() and found != path:
            bad.append(f"{_printable(found)}: a linked folder")
        elif not os.access(found, os.R_OK | os.X_OK):
            bad.append(f"{_printable(found)}: a folder that may not be read")


def _decoded(batch: Sequence[Path], bad: list[str]) -> Iterator[tuple[Path, images.Image]]:
    """Yield each image with its path; adds a message to `bad` for each file that is skipped."""
    for path in batch:
        try:
            yield path, images.read(path)
        except BadImageError as error:
            bad.append(_printable(error))
        except OSError as error:
            bad.append(f"{_printable(path)}: {error.strerror}")


def _printable(text: object) -> str:
    """Return a path or a message as text, in which bytes that are not UTF-8 are escaped."""
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
