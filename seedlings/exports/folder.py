"""The folder of an export: the model, its preprocessing, a script that predicts, and a README."""

import importlib.util
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seedlings.errors import SeedlingsError
from seedlings.exports import container, equality, formats, script
from seedlings.exports.equality import Equality, File
from seedlings.exports.runtimes import RUNTIMES
from seedlings.io.files import replacing, write_json
from seedlings.packaging import bundle
from seedlings.serving.inference import Inference
from seedlings.serving.predictor import Predictor, load, with_tensorflow

MODEL = "model.json"
_SCRIPT = "predict.py"
README = "README.md"
_REQUIRED = ("numpy", "opencv-python-headless", "pillow")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a packaged model is from: the digest of its dvc.lock, if known, and its model card."""

    lock: str | None = None
    card: str = ""


def write(
    package: Path,
    name: str,
    target: Path,
    *,
    files: Iterable[File],
    origin: Origin,
    limit: float = equality.LIMIT,
) -> Equality:
    """Write the packaged model of a folder as an export in a format, and return its equality.

    `target` appears only if the export answers as the packaged model does for the image files; see
    equality.check. Raises SeedlingsError if it does not, if a package of the format is absent, or
    if `target` is there and no export.
    """
    formats.check(name)
    container.check()
    _check_target(target)
    network = load(package)
    predictor = Predictor(package, with_tensorflow(network))
    with replacing(target) as scratch:
        scratch.mkdir()
        formats.write(network, name, scratch)
        (scratch / _SCRIPT).write_text(script.predict(), encoding="utf-8")
        described = describe(package, name, origin)
        write_json(scratch / MODEL, described)
        found = equality.check(predictor, _loaded(scratch), files, limit)
        write_json(scratch / MODEL, {**described, "equality": asdict(found)})
        required = "".join(f"{line}\n" for line in requirements(name))
        (scratch / "requirements.txt").write_text(required, encoding="utf-8")
        container.write(scratch)
        (scratch / README).write_text(_readme(name, found, origin.card), encoding="utf-8")
    return found


def read(folder: Path) -> dict[str, Any]:
    """Return the description of the export in a folder, of the file `MODEL`."""
    return dict(json.loads((folder / MODEL).read_text(encoding="utf-8")))


def describe(package: Path, name: str, origin: Origin) -> dict[str, Any]:
    """Return the description of an export of a packaged model in a format."""
    return {
        "format": name,
        "file": RUNTIMES[name].file,
        "bundle": asdict(bundle.read(package)),
        "packaged_model": bundle.digest(package),
        "dvc_lock": origin.lock,
        "seedlings": version("seedlings"),
    }


def requirements(name: str) -> list[str]:
    """Return the packages that an export in a format needs, in their versions here."""
    return [f"{package}=={version(package)}" for package in (*_REQUIRED, formats.package_of(name))]


def _check_target(target: Path) -> None:
    if target.exists() and not (target / MODEL).is_file():
        raise SeedlingsError(
            f"--output {target}: expected a new folder, or an export to replace, found something "
            "else; choose another one"
        )


def _loaded(folder: Path) -> Inference:
    """Return the inference of the script in an exported folder, as that file defines it."""
    spec = importlib.util.spec_from_file_location("exported_predict", folder / _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(folder)


def _readme(name: str, found: Equality, card: str) -> str:
    """Return the model card with a section about the export before its first one."""
    runtime = RUNTIMES[name]
    used = f"""\
## Run this export

    python -m pip install -r requirements.txt
    python {_SCRIPT} leaf.jpg images/            # a table; or --json, --csv

Over HTTP, on this machine; in a container, see `Dockerfile`:

    python -m pip install -r requirements-server.txt
    python server.py --port 8000
    curl -F file=@leaf.jpg http://127.0.0.1:8000/predict

`{runtime.file}` is the network for {runtime.title}; `{_SCRIPT}` decodes, fits and segments images
as in training, and `{MODEL}` has the classes, the thresholds and the digest of the packaged model.

This export was compared with the packaged model on {found.images} images: the input of the network
is the same, the largest difference of an output is {found.output:.1e} (at most {found.limit:g}).

"""
    head, mark, rest = (card or "# Exported model\n\n").partition("\n## ")
    return f"{head}\n{used}{mark.lstrip()}{rest}" if mark else f"{head}{used}"
