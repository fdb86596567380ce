"""The processor: settings by which libraries compute the same results on unlike processors.

Libraries choose instructions by the type of the processor, and so round differently. They read
these settings when they are loaded.
"""

import os
import platform
from pathlib import Path

SETTINGS = {
    "TF_ENABLE_ONEDNN_OPTS": "1",  # by default, TensorFlow uses oneDNN on newer processors only
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # of oneDNN, which computes the convolutions
}


def pin() -> None:
    """Set the environment of this process and its children. Call it before importing TensorFlow."""
    os.environ.update(SETTINGS)


def name() -> str:
    """Return the name of the processor, such as `AMD EPYC 9B45`."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
