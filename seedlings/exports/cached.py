"""Exports that are kept in the user's cache folder, for fast answers of `seedlings predict`.

The name of a cached export has the digest of the packaged model and the versions of the libraries,
so another model has another export. The workspace is not changed.
"""

import json
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pooch
from filelock import FileLock

from seedlings.errors import SeedlingsError
from seedlings.exports.equality import File, NoImagesError
from seedlings.exports.formats import package_of
from seedlings.exports.runtimes import RUNTIMES
from seedlings.io.files import replacing, write_json
from seedlings.packaging import bundle
from seedlings.serving.inference import Network

if TYPE_CHECKING:
    from seedlings.exports.folder import Origin

FORMAT = "litert"
_KEPT = 8  # exports, those that were used last
_EQUALITY = "equality.json"
_VERSIONS = ("seedlings", "ai-edge-litert", "keras")


class NotEqualError(SeedlingsError):
    """The packaged model cannot be exported, or its export gives other answers."""


def is_installed() -> bool:
    """Return whether the runtime is installed."""
    return find_spec("ai_edge_litert") is not None


def network(package: Path, files: Iterable[File]) -> Network:
    """Return the network of a packaged model, as an export that is made at the first use.

    Raises what `made` does.
    """
    return RUNTIMES[FORMAT].load(made(package, files) / RUNTIMES[FORMAT].file)


def made(package: Path, files: Iterable[File]) -> Path:
    """Return the folder of the cached export of a packaged model, made at the first use.

    It is compared with the packaged model on image files once; see equality.check. Raises
    NotEqualError if it cannot be exported or if it gives other answers, also at later uses, though
    only the first one prints why; NoImagesError if there is no image to compare it on; and OSError
    if the cache folder cannot be written.
    """
    folder = Path(pooch.os_cache("seedlings")) / "exports"
    folder.mkdir(parents=True, exist_ok=True)
    packages = (*_VERSIONS, package_of("saved_model"))
    versions = "-".join(version(package) for package in packages)
    own = folder / f"{bundle.digest(package)}-{versions}"
    with FileLock(folder / ".lock"):
        if not own.exists():
            _make(package, own, files)
            _remove_old(folder)
        own.touch()
    found = json.loads((own / _EQUALITY).read_text(encoding="utf-8"))
    if "error" in found:
        raise NotEqualError(found["error"])
    return own


def copy(package: Path, target: Path, *, files: Iterable[File], origin: "Origin") -> None:
    """Copy the cached export into a new folder, which `server` serves. Raises what `made` does."""
    from seedlings.exports import folder

    shutil.copytree(made(package, files), target)
    write_json(target / folder.MODEL, folder.describe(package, FORMAT, origin))
    (target / folder.README).write_text(origin.card, encoding="utf-8")


def _make(package: Path, target: Path, files: Iterable[File]) -> None:
    """Write the export, or why there is none."""
    from seedlings.exports import equality, formats
    from seedlings.serving.predictor import Predictor, load, with_tensorflow

    print(
        f"{RUNTIMES[FORMAT].title} answers faster than TensorFlow; it is prepared once",
        file=sys.stderr,
    )
    model = load(package)
    with replacing(target) as scratch:
        scratch.mkdir()
        try:
            formats.write(model, FORMAT, scratch)
            run = RUNTIMES[FORMAT].load(scratch / RUNTIMES[FORMAT].file)
            packaged = Predictor(package, with_tensorflow(model))
            exported = Predictor(package, (run, FORMAT))
            found = equality.check(packaged, exported, files, equality.LIMIT)
        except NoImagesError:
            raise
        except SeedlingsError as error:
            write_json(scratch / _EQUALITY, {"error": str(error)})
            print(f"TensorFlow answers, also in future: {error}", file=sys.stderr)
        else:
            write_json(scratch / _EQUALITY, asdict(found))


def _remove_old(folder: Path) -> None:
    """Remove all exports but those that were used last."""
    used = sorted(filter(Path.is_dir, folder.iterdir()), key=lambda path: path.stat().st_mtime)
    for path in used[:-_KEPT]:
        shutil.rmtree(path, ignore_errors=True)
