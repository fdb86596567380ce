"""The command of an exported folder, which predicts images with the model beside it."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from seedlings.exports.runtimes import RUNTIMES
from seedlings.images import BadImageError
from seedlings.serving.inference import BATCH, Inference
from seedlings.serving.texts import as_text


def load(folder: Path) -> Inference:
    """Return the inference of the exported model in a folder."""
    model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    contents = SimpleNamespace(**model["bundle"])
    network = RUNTIMES[model["format"]].load(folder / model["file"])
    return Inference(contents, SimpleNamespace(**contents.segment), network)


def files_of(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files, and all files below the folders, sorted, without hidden ones."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for file in sorted(path.rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                yield file


def rows_of(
    inference: Inference, files: Sequence[Path], failed: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each image; add a message to `failed` for each file that is none."""
    for start in range(0, len(files), BATCH):
        good = {}
        for file in files[start : start + BATCH]:
            try:
                good[file] = inference.decode(file.read_bytes())
            except (BadImageError, OSError) as error:
                failed.append(f"{file}: {error}")
        if good:
            columns = {"path": map(str, good), **inference.columns(list(good.values()))}
            yield from (
                dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
            )


def main() -> None:
    """Print the predictions for the files and folders in the arguments."""
    parser = argparse.ArgumentParser(description="Predict images with the model in this folder.")
    parser.add_argument("paths", nargs="+", type=Path, help="image files, or folders with them")
    parser.add_argument("--json", dest="form", action="store_const", const="json")
    parser.add_argument("--csv", dest="form", action="store_const", const="csv")
    given = parser.parse_args()
    failed: list[str] = []
    files = list(files_of(given.paths))
    rows = list(rows_of(load(Path(__file__).parent), files, failed))
    print(as_text(rows, given.form), end="")
    if failed or not files:
        listed = "\n  ".join(failed) or "expected images, found no files"
        sys.exit(f"no prediction for {len(failed)} of the files:\n  {listed}")
