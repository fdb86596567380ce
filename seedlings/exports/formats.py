"""Formats: how Keras writes a network, with its preprocessing, as a file of a format."""

import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seedlings.errors import SeedlingsError
from seedlings.exports.runtimes import RUNTIMES

if TYPE_CHECKING:
    from seedlings.networks.runtime import keras

Write = Callable[["keras.Model", Path], None]


def write(network: "keras.Model", name: str, folder: Path) -> None:
    """Write a network (images to outputs and distances) into a folder, in a format of `FORMATS`.

    Raises SeedlingsError if a package of the format is not installed, or if the network has an
    operation that the format does not know.
    """
    check(name)
    path = folder / RUNTIMES[name].file
    network(np.zeros((1, *network.input_shape[1:]), np.uint8))  # Keras exports no other network
    try:
        with warnings.catch_warnings(action="ignore"):  # of converters, about their own code
            FORMATS[name](network, path)
    except Exception as error:  # each converter has its own errors
        first = str(error).strip().partition("\n")[0]
        raise SeedlingsError(
            f"export --format {name}: expected a network of operations that {name} knows, found "
            f"others ({type(error).__name__}: {first}); choose another format"
        ) from error


def check(name: str) -> None:
    """Raise SeedlingsError if a package of a format is not installed."""
    absent = [module for module in _MODULES[name] if find_spec(module) is None]
    if absent:
        raise SeedlingsError(
            f"expected {' and '.join(absent)} for the format {name}, found none; "
            "`make .venv/export` installs the extra `export`"
        )


def package_of(name: str) -> str:
    """Return the installed package with the runtime of a format.

    Raises importlib.metadata.PackageNotFoundError if there is none.
    """
    *others, last = RUNTIMES[name].packages
    for package in others:
        with suppress(PackageNotFoundError):
            version(package)
            return package
    version(last)
    return last


def _litert(network: "keras.Model", path: Path) -> None:
    from seedlings.networks.runtime import tf

    # The runtime has no others; Keras would also allow those of TensorFlow.
    operations = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    network.export(path, format="litert", verbose=False, target_spec=operations)


def _onnx(network: "keras.Model", path: Path) -> None:
    network.export(path, format="onnx", verbose=False)


def _openvino(network: "keras.Model", path: Path) -> None:
    # The converter sends usage data unless this package of its own is absent.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    network.export(str(path), format="openvino", verbose=False)


def _saved_model(network: "keras.Model", path: Path) -> None:
    network.export(path, format="tf_saved_model", verbose=False)


FORMATS: dict[str, Write] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "litert": _litert,
    "saved_model": _saved_model,
}
_MODULES: dict[str, tuple[str, ...]] = {
    "onnx": ("onnxruntime", "tf2onnx"),
    "openvino": ("openvino",),
    "litert": ("ai_edge_litert",),
    "saved_model": (),
}
