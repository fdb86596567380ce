"""Sources: collects the images of a source, with one folder for each class."""

import sys
from pathlib import Path

import numpy as np

from seedlings import images
from seedlings.data import archives, datasets, sample
from seedlings.data.params import Data
from seedlings.errors import SeedlingsError
from seedlings.io import downloads
from seedlings.io.progress import bar


def collect(data: Data, target: Path, seed: int) -> tuple[dict[str, int], list[str]]:
    """Collect the images of a source in the new folder `target`.

    Returns the number of files in each top folder, and the skipped files. Raises SeedlingsError if
    the source is missing, damaged or empty, if it contains an empty folder, and if it contains
    files that cannot be copied while data.on_bad_image is `refuse`.
    """
    skipped: list[str] = []
    match data.source:
        case "sample":
            _draw(data, target, seed)
        case "archive":
            _unpack(data, target)
        case "folder":
            skipped = _copy(data, target)
        case "mnist":
            datasets.write_mnist(_file(data, "Keras' mnist.npz"), target)
        case "digits":
            datasets.write_digits(target)
    return _count(target, needs_folders=data.annotations.file is None), skipped


def _draw(data: Data, target: Path, seed: int) -> None:
    count = data.sample.images_per_class
    for index, number in bar(list(np.ndindex(len(sample.SPECIES), count)), "draw", unit="image"):
        picture, _ = sample.draw_numbered(index, number, seed=seed, size=data.sample.side)
        folder = target / sample.SPECIES[index].name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05d}.png").write_bytes(images.encode_png(picture))


def _unpack(data: Data, target: Path) -> None:
    archive = _file(data, "a zip or tar")
    try:
        archives.unpack(
            archive,
            target,
            folder=data.folder,
            max_files=data.limits.files,
            max_bytes=data.limits.bytes,
        )
    except archives.DamagedArchiveError:
        if data.url:  # a damaged file in the cache would never be downloaded again
            archive.unlink()
        raise


def _file(data: Data, kind: str) -> Path:
    """Return the file at data.url or data.path, verified by data.checksum."""
    file = downloads.retrieve(data.url, data.checksum) if data.url else Path(data.path)
    if not file.is_file():
        raise SeedlingsError(
            f"expected {kind} at {file} (data.path), found "
            f"{'a folder' if file.is_dir() else 'nothing'}; set data.path or data.url"
        )
    downloads.verify(file, data.checksum)
    return file


def _copy(data: Data, target: Path) -> list[str]:
    folder = Path(data.path) / (data.folder or "")
    if not folder.is_dir():
        raise SeedlingsError(
            f"expected a folder of images at {folder} (data.path, data.folder), found "
            f"{'a file' if folder.exists() else 'nothing'}"
        )
    target.mkdir(parents=True)
    refused = archives.copy_folder(folder, target)
    if refused and data.on_bad_image == "refuse":
        raise SeedlingsError(
            "expected files and folders, found some that cannot be copied:\n  "
            + "\n  ".join(refused)
            + "\nrepair or remove them, or set data.on_bad_image to `skip` to skip them"
        )
    for reason in refused:
        print(f"skipped: {reason}", file=sys.stderr)
    return refused


def _count(target: Path, *, needs_folders: bool) -> dict[str, int]:
    """Return the number of files in each top folder. An empty folder, which DVC drops, raises."""
    folders = sorted(path for path in target.rglob("*") if path.is_dir())
    files = {path: sum(inner.is_file() for inner in path.rglob("*")) for path in folders}
    empty = [str(path.relative_to(target)) for path, count in files.items() if not count]
    if empty:
        raise SeedlingsError(
            f"expected images in every folder, found none in: {', '.join(empty)}; "
            "remove the folder or fill it"
        )
    if needs_folders and not files:
        raise SeedlingsError(
            "expected one folder for each class, found none; "
            "set data.path and data.folder to the folder with the class folders"
        )
    return {path.name: count for path, count in files.items() if path.parent == target}
