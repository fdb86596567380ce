"""Predictions: what a packaged model answers for files and folders of images."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from seedlings import images
from seedlings.archives import is_leftover
from seedlings.errors import SeedlingsError
from seedlings.images import BadImageError
from seedlings.packages import Predictor
from seedlings.progress import bar

_BATCH = 32


def of_files(predictor: Predictor, paths: Sequence[Path]) -> tuple[pd.DataFrame, list[str]]:
    """A row for each image at or below some paths, and why other files there have none.

    Columns: `path`, then those of Predictor.answer. Images are read in batches. Raises
    SeedlingsError where a path is not there, or nothing is.
    """
    found = [file for path in paths for file in _files(path)]
    if not found:
        raise SeedlingsError(f"expected images in {', '.join(map(str, paths))}, found none")
    parts: list[pd.DataFrame] = []
    bad: list[str] = []
    with bar(None, "predict", unit="image", total=len(found)) as shown:
        for start in range(0, len(found), _BATCH):
            batch = found[start : start + _BATCH]
            good = dict(_decoded(batch, bad))
            if good:
                answers = predictor.answer(list(good.values()))
                answers.insert(0, "path", [str(path) for path in good])
                parts.append(answers)
            shown.update(len(batch))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"path": []}), bad


def text(table: pd.DataFrame, form: str | None) -> str:
    """The table for people, or as `json` or `csv`."""
    if form == "json":
        return table.to_json(orient="records", indent=2, force_ascii=False) + "\n"
    flat = table.drop(columns="probabilities", errors="ignore")
    if form == "csv":
        if "probabilities" in table:
            named = pd.DataFrame(table["probabilities"].tolist()).round(6)
            flat = flat.join(named, suffixes=("", " (probability)"))
        return flat.to_csv(index=False, lineterminator="\n")
    return flat.round(4).to_string(index=False) + "\n"


def _files(path: Path) -> Iterator[Path]:
    """A file itself; of a folder every file below it, sorted, without what systems leave behind."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if not file.is_dir() and not is_leftover(PurePosixPath(file.relative_to(path))):
                yield file
    elif path.exists():
        yield path
    else:
        raise SeedlingsError(f"expected a file or a folder at {path}, found nothing")


def _decoded(batch: Sequence[Path], bad: list[str]) -> Iterator[tuple[Path, images.Image]]:
    """The images among some files; why others are none is added to `bad`."""
    for path in batch:
        try:
            yield path, images.read(path)
        except BadImageError as error:
            bad.append(str(error))
        except OSError as error:
            bad.append(f"{path}: {error.strerror}")
