"""The runtime: imports Keras with TensorFlow without log messages, and makes runs deterministic.

All other modules import Keras from here.
"""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

# Messages of TensorFlow about CPUs and missing GPUs, before its log level can be set.
_REMARKS = re.compile(
    r"^(WARNING: All log messages before absl|I0000 |To enable the following instructions)"
    r"|failed call to cuInit"
)


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Capture file descriptor 2, then print all lines but the remarks."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines():
                if not _REMARKS.search(line):
                    print(line, file=sys.stderr)


@contextmanager
def _absent(*names: str) -> Iterator[None]:
    """Let the import of packages fail that this process has not imported yet.

    With several threads, it has no effect: another one could need a package in the meantime.
    """
    is_alone = threading.active_count() == 1
    hidden = [name for name in names if is_alone and name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: it is not there
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


# Keras imports two packages, if it finds them, for wrappers and galleries that are not used here:
# for a third of the time that its import takes.
with _without_remarks(), _absent("matplotlib", "sklearn"):
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()

# The user's keras.json changes them, and DVC does not see it.
keras.config.set_floatx("float32")
keras.config.set_image_data_format("channels_last")
keras.config.set_epsilon(1e-7)

__all__ = ["keras", "prepare", "tf"]


def prepare(seed: int, threads: int) -> None:
    """Make a run deterministic: set seeds, deterministic operations and numbers of threads.

    Call it before the first operation of the process. Results depend on the number of threads, so
    it is a parameter and not the number of cores.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    cv2.setNumThreads(1)  # augmentation must leave the cores to training
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)
