"""Predictions of a packaged model for files and folders of images."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from seedlings.errors import SeedlingsError
from seedlings.images import BadImageError, Image
from seedlings.io import threads
from seedlings.io.progress import bar
from seedlings.serving import texts
from seedlings.serving.addresses import distinct, normalized, read
from seedlings.serving.inference import BATCH
from seedlings.serving.predictor import Predictor


def of_files(predictor: Predictor, paths: Sequence[Path | str]) -> tuple[pd.DataFrame, list[str]]:
    """Return a table with a row for each image, and a message for each file that is skipped.

    `paths` are files and folders, also of fsspec; all files below a folder are read, in batches. A
    file that is named twice has one row, at its first place.
    The columns are `path`, in which bytes that are not UTF-8 are escaped, and the columns of
    Predictor.answer. Raises SeedlingsError if a path does not exist or if there are no files.
    """
    parts: list[pd.DataFrame] = []
    bad: list[str] = []
    found = [file for file, _ in distinct(map(normalized, paths))]
    if not found:
        raise SeedlingsError(f"expected images in {', '.join(map(str, paths))}, found none")
    with bar(None, "predict", unit="image", total=len(found)) as shown:
        for start in range(0, len(found), BATCH):
            batch = found[start : start + BATCH]
            good = {}
            for path, image in zip(batch, decoded(batch, predictor), strict=True):
                if isinstance(image, str):
                    bad.append(f"{printable(path)}: {image}")
                else:
                    good[path] = image
            if good:
                answers = predictor.answer(list(good.values()))
                answers.insert(0, "path", [printable(path) for path in good])
                parts.append(answers)
            shown.update(len(batch))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"path": []}), bad


def text(table: pd.DataFrame, form: str | None) -> str:
    """Return the table in a form of texts.as_text."""
    rows = table.to_dict("records")
    return texts.as_text([{str(name): row[name] for name in row} for row in rows], form)


def decoded(addresses: Sequence[str], predictor: Predictor) -> Iterator[Image | str]:
    """Yield the image in each file (see Predictor.decode), or the reason why there is none."""

    def decode(file: tuple[str, bytes | OSError]) -> Image | str:
        address, data = file
        if isinstance(data, OSError):
            return _reason(address, data)
        try:
            return predictor.decode(data)
        except BadImageError as error:
            return printable(error)

    yield from threads.in_order(decode, zip(addresses, read(addresses), strict=True))


def _reason(address: str, error: OSError) -> str:
    if isinstance(error, IsADirectoryError | PermissionError) and os.path.isdir(address):  # noqa: PTH112 - the text of an address
        linked = os.path.islink(address)  # noqa: PTH114 - as above
        return "a linked folder" if linked else "a folder that may not be read"
    return error.strerror or f"{type(error).__name__}: {error}"


def printable(text: object) -> str:
    """Return a path or a message as text, in which bytes that are not UTF-8 are escaped."""
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
