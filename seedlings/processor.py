"""The processor: settings by which libraries compute the same results on unlike processors.

Libraries choose instructions by the type of the processor, and so round differently. They read
these settings when they are loaded, or at their first operation.
"""

import importlib
import os
import platform
import sys
import warnings
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from seedlings.errors import SeedlingsError

# oneDNN, which computes TensorFlow's convolutions, uses AVX2 at most. TF_ENABLE_ONEDNN_OPTS is not
# among the settings: seedlings/__init__.py fixes it, whatever `portable` is.
SETTINGS = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
_X86_64 = ("x86_64", "AMD64")
# The library that reads a setting when it is loaded, by the first word of the setting.
_READERS = {"NPY": "numpy", "OPENBLAS": "numpy", "OPENCV": "cv2"}


def pin() -> None:
    """Set the environment of this process and its children. Call it before importing TensorFlow."""
    use(portable=True)


def use(*, portable: bool) -> None:
    """Set the settings in the environment of this process and its children, or unset them.

    Warns if a library has read them already, with other values.
    """
    wanted = settings(portable=portable)
    late = [name for name, value in wanted.items() if _is_late(name, value)]
    _apply(wanted, os.environ)
    if late:
        before = " ".join(f"{name}={SETTINGS[name]}" for name in late)
        action = f"set {before}" if portable else f"unset {', '.join(late)}"
        warnings.warn(
            f"expected libraries with `portable: {str(portable).lower()}`, found them loaded "
            f"otherwise: results may differ in the last bits; {action} in the environment before "
            "Python starts",
            RuntimeWarning,
            stacklevel=2,
        )


def settings(*, portable: bool) -> dict[str, str | None]:
    """Return the value of each setting; None if it is not to be set."""
    return {name: value if portable else None for name, value in SETTINGS.items()}


def current() -> dict[str, str | None]:
    """Return the value of each setting in the environment of this process, or None."""
    return {name: os.environ.get(name) for name in SETTINGS}


def environment(*, portable: bool) -> dict[str, str]:
    """Return the environment of this process for a child, with the settings or without them."""
    found = dict(os.environ)
    _apply(settings(portable=portable), found)
    return found


def check() -> None:
    """Raise SeedlingsError unless this processor is one for `portable: true`.

    It loads NumPy, so it is called after `use`.
    """
    machine = platform.machine()
    if machine not in _X86_64 or not _has_avx2():
        what = "without AVX2" if machine in _X86_64 else f"of the type {machine}"
        raise SeedlingsError(
            "params.yaml: portable: expected an x86-64 processor with AVX2, found "
            f"{name()}, {what}; set `portable: false`, with which results depend on the type of "
            "processor"
        )


def name() -> str:
    """Return the name of the processor, such as `AMD EPYC 9B45`."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _apply(values: Mapping[str, str | None], environment: MutableMapping[str, str]) -> None:
    for key, value in values.items():
        if value is None:
            environment.pop(key, None)
        else:
            environment[key] = value


def _is_late(setting: str, value: str | None) -> bool:
    """Return whether the library that reads a setting has read another value."""
    if os.environ.get(setting) == value:
        return False
    library = _READERS.get(setting.partition("_")[0])
    return library in sys.modules if library else _tensorflow_has_computed()


def _tensorflow_has_computed() -> bool:
    """Return whether TensorFlow has run an operation; oneDNN reads its settings at the first."""
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
    return getattr(context, "_context_handle", None) is not None


def _has_avx2() -> bool:
    # The processor answers NumPy itself; /proc/cpuinfo is the host's in an emulation.
    numpy = importlib.import_module("numpy._core._multiarray_umath")
    return bool(numpy.__cpu_features__.get("AVX2"))
