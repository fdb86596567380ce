"""The processor: settings by which oneDNN computes the same results on different processors.

oneDNN, which computes TensorFlow's convolutions, chooses instructions by the type of the processor,
and so rounds differently. It reads its settings at the first operation.
"""

import importlib
import os
import platform
import sys
import warnings
from pathlib import Path

from seedlings.errors import SeedlingsError

# oneDNN uses AVX2 at most. TF_ENABLE_ONEDNN_OPTS is not among the settings: seedlings/__init__.py
# fixes it, whatever `portable` is.
SETTINGS = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
_X86_64 = ("x86_64", "AMD64")


def pin() -> None:
    """Set the environment of this process and its children. Call it before importing TensorFlow."""
    use(portable=True)


def use(*, portable: bool) -> None:
    """Set the settings in the environment of this process and its children, or unset them.

    Warns if TensorFlow has computed with other settings before.
    """
    before = current()
    for name in SETTINGS:
        os.environ.pop(name, None)
    if portable:
        os.environ.update(SETTINGS)
    if before != current() and _tensorflow_has_computed():
        listed = " ".join(f"{name}={value}" for name, value in SETTINGS.items())
        action = f"set {listed}" if portable else f"unset {', '.join(SETTINGS)}"
        warnings.warn(
            f"expected TensorFlow to compute with `portable: {str(portable).lower()}`, found that "
            "it has computed with other settings: results may differ in the last bits; "
            f"{action} in the environment before Python starts",
            RuntimeWarning,
            stacklevel=2,
        )


def current() -> dict[str, str | None]:
    """Return the value of each setting in the environment of this process, or None."""
    return {name: os.environ.get(name) for name in SETTINGS}


def environment(*, portable: bool) -> dict[str, str]:
    """Return the environment of this process for a child, with the settings or without them."""
    others = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return others | (SETTINGS if portable else {})


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


def _tensorflow_has_computed() -> bool:
    """Return whether TensorFlow has run an operation; oneDNN reads its settings at the first."""
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
    return getattr(context, "_context_handle", None) is not None


def _has_avx2() -> bool:
    # The processor answers NumPy itself; /proc/cpuinfo is the host's in an emulation.
    numpy = importlib.import_module("numpy._core._multiarray_umath")
    return bool(numpy.__cpu_features__.get("AVX2"))
