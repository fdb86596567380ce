"""The runtime: Keras on TensorFlow, started quietly and made repeatable.

Whoever needs Keras imports it from here.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

# What TensorFlow says of processors and missing GPUs before its log can be turned down.
_REMARKS = re.compile(
    r"^(WARNING: All log messages before absl|I0000 |To enable the following instructions)"
    r"|failed call to cuInit"
)


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Hold back file descriptor 2, then pass on all that is not a mere remark."""
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


with _without_remarks():
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()

__all__ = ["keras", "prepare", "tf"]


def prepare(seed: int, threads: int) -> None:
    """Make what follows repeatable: seeds, deterministic operations, fixed thread counts.

    Has to come before the first operation of the process. Results depend on the thread counts,
    so they come from a parameter and not from the machine's cores.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    cv2.setNumThreads(1)  # or augmentation takes the cores from the training it is to feed
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)
