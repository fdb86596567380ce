"""Features: the output of the frozen feature extractor for every image, computed once."""

import math
import sys
from pathlib import Path

import numpy as np

from seedlings.io import store
from seedlings.io.partial_results import PartialResults
from seedlings.io.progress import bar
from seedlings.networks import models
from seedlings.networks.runtime import keras


def stored(path: Path) -> bool:
    """Return whether the array has features; without a backbone it is empty."""
    return store.shape(path)[0] > 0


def store_none(feature_extractor: "keras.Model", target: Path) -> None:
    """Write an empty array, for a model without a backbone."""
    with store.create(target, feature_extractor.output_shape[1:], np.float32):
        pass


def extract(
    feature_extractor: "keras.Model", images: Path, target: Path, *, batch_size: int, key: str
) -> None:
    """Write the feature extractor's output for all images, in order: N x h x w x C, float32.

    A run that was killed resumes after its last complete batch, if `key` is unchanged: a digest of
    everything that the output depends on.
    """
    total = store.shape(images)[0]
    numbers = range(math.ceil(total / batch_size))
    partial = PartialResults(target, key)
    done = sum(min(batch_size, total - n * batch_size) for n in numbers if _name(n) in partial)
    if done:
        print(f"extract: {done} of {total} images were done before, {total - done} remain")
        sys.stdout.flush()
    function = models.compiled(feature_extractor)
    with bar(None, "extract", unit="image", total=total, done=done) as progress:
        for number in numbers:
            if _name(number) not in partial:
                start = number * batch_size
                batch = store.read(images, start, min(total, start + batch_size))
                partial.save(_name(number), [function(batch)])
                progress.update(len(batch))
    with store.create(target, feature_extractor.output_shape[1:], np.float32) as writer:
        for number in numbers:
            writer.append(partial.load(_name(number))[0][0])
    partial.remove()


def _name(number: int) -> str:
    return f"{number:08d}"
