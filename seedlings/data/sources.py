"""Sources of images: one entry each, which says how it collects and which parameters it reads."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seedlings import images
from seedlings.config import reuse
from seedlings.data import archives, datasets, names, sample
from seedlings.errors import SeedlingsError
from seedlings.io import downloads
from seedlings.io.progress import bar

if TYPE_CHECKING:
    from seedlings.data.params import Data


@dataclass(frozen=True, slots=True)
class Collected:
    """What a source has put into a folder."""

    skipped: list[str] = field(default_factory=list)
    checksum: str | None = None  # of the downloaded file
    files: dict[str, int] = field(default_factory=dict)  # the number of files in each top folder


@dataclass(frozen=True, slots=True)
class Source:
    """A source of images.

    `collect(data, target, seed)` puts its images into the new folder `target`, with one folder for
    each class. `reads` are those of the keys `path`, `url`, `checksum`, `folder` and `encoding`
    that it reads.
    """

    collect: Callable[["Data", Path, int], Collected]
    reads: tuple[str, ...] = ()


def collect(data: "Data", target: Path, seed: int) -> Collected:
    """Collect the images of the source in the new folder `target`.

    Raises SeedlingsError if the source is missing, damaged or empty, if it contains an empty
    folder, if it contains files that cannot be copied while data.on_bad_image is `refuse`, and if
    the file at data.url is not that of the last run while data.checksum is null.
    """
    found = SOURCES[data.source].collect(data, target, seed)
    return replace(found, files=_count(target, needs_folders=data.annotations.file is None))


def _sample(data: "Data", target: Path, seed: int) -> Collected:
    count = data.sample.images_per_class
    for index, number in bar(list(np.ndindex(len(sample.SPECIES), count)), "draw", unit="image"):
        picture, _ = sample.draw_numbered(index, number, seed=seed, size=data.sample.side)
        folder = target / sample.SPECIES[index].name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05d}.png").write_bytes(images.encode_png(picture))
    return Collected()


def _archive(data: "Data", target: Path, _seed: int) -> Collected:
    archive, checksum = _file(data, "a zip or tar")
    try:
        archives.unpack(
            archive,
            target,
            folder=data.folder,
            max_files=data.limits.files,
            max_bytes=data.limits.bytes,
            encoding=data.encoding,
        )
    except archives.DamagedArchiveError:
        if data.url:  # a damaged file in the cache would never be downloaded again
            archive.unlink()
        raise
    return Collected(checksum=checksum)


def _mnist(data: "Data", target: Path, _seed: int) -> Collected:
    file, checksum = _file(data, "Keras' mnist.npz")
    datasets.write_mnist(file, target)
    return Collected(checksum=checksum)


def _digits(_data: "Data", target: Path, _seed: int) -> Collected:
    datasets.write_digits(target)
    return Collected()


def _file(data: "Data", kind: str) -> tuple[Path, str | None]:
    """Return the file at data.url or data.path, verified, and the checksum of a download."""
    if data.url:
        return _download(data.url, data.checksum)
    file = Path(data.path)
    if not file.is_file():
        raise SeedlingsError(
            f"expected {kind} at {file} (data.path), found "
            f"{'a folder' if file.is_dir() else 'nothing'}; set data.path or data.url"
        )
    downloads.verify(file, data.checksum)
    return file, None


def _download(url: str, checksum: str | None) -> tuple[Path, str]:
    """Return the file at data.url and its checksum. Without data.checksum, the last run has it."""
    if checksum:
        file = downloads.retrieve(url, checksum)
        return file, f"sha256:{downloads.digest(file)}"
    record = reuse.last_record("download")
    same = record is not None and record.params.get("data.url") == url
    last = record.details.get("checksum") if record and same else None
    file, found = downloads.current(url, last)
    if last is None:
        size = f"{file.stat().st_size:,} bytes"
        print(f"{url}: {size}, {found}; set data.checksum to it to refuse any other file")
    return file, found


def _folder(data: "Data", target: Path, _seed: int) -> Collected:
    folder = names.below(Path(data.path), data.folder or "")
    if not folder.is_dir():
        found = "a file; if it is an archive, set data.source to archive"
        raise SeedlingsError(
            f"expected a folder of images at {folder} (data.path, data.folder), found "
            f"{found if folder.exists() else 'nothing'}"
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
    return Collected(skipped=refused)


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


SOURCES = {
    "sample": Source(_sample),
    "archive": Source(_archive, reads=("path", "url", "checksum", "folder", "encoding")),
    "folder": Source(_folder, reads=("path", "folder")),
    "mnist": Source(_mnist, reads=("path", "url", "checksum")),
    "digits": Source(_digits),
}
