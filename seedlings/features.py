"""Features: what the frozen trunk makes of every image, computed once."""

import math
import sys
from pathlib import Path

import numpy as np

from seedlings import models, store
from seedlings.checkpoints import Checkpoint
from seedlings.progress import bar
from seedlings.runtime import keras


def stored(path: Path) -> bool:
    """Whether there are features: from scratch there is nothing that could be stored."""
    return store.shape(path)[0] > 0


def store_none(trunk: "keras.Model", target: Path) -> None:
    """Write the empty array that says that nothing was computed in advance."""
    with store.create(target, trunk.output_shape[1:], np.float32):
        pass


def extract(trunk: "keras.Model", images: Path, target: Path, *, batch_size: int, key: str) -> None:
    """Write the trunk's output for all images, in their order: N x h x w x C float32.

    A run that was killed is taken up where it was, if `key`, a digest of all that the output
    depends on, is the same.
    """
    total = store.shape(images)[0]
    numbers = range(math.ceil(total / batch_size))
    checkpoint = Checkpoint(target, key)
    done = sum(min(batch_size, total - n * batch_size) for n in numbers if n in checkpoint)
    if done:
        print(f"extract: {done} of {total} images were done before, {total - done} are left")
        sys.stdout.flush()
    function = models.compiled(trunk)
    with bar(None, "extract", unit="image", total=total, done=done) as progress:
        for number in numbers:
            if number not in checkpoint:
                start = number * batch_size
                batch = store.read(images, start, min(total, start + batch_size))
                checkpoint.save(number, function(batch))
                progress.update(len(batch))
    with store.create(target, trunk.output_shape[1:], np.float32) as writer:
        for number in numbers:
            writer.append(checkpoint.load(number))
    checkpoint.remove()
