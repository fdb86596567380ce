"""Features: what the frozen trunk makes of every image, computed once."""

from pathlib import Path

import numpy as np

from seedlings import backbones, store
from seedlings.progress import bar
from seedlings.runtime import keras


def extract(trunk: "keras.Model", images: Path, target: Path, batch_size: int) -> None:
    """Write the trunk's output for all images, in their order: N x h x w x C float32."""
    function = backbones.compiled(trunk)
    total = store.shape(images)[0]
    with (
        store.create(target, trunk.output_shape[1:], np.float32) as writer,
        bar(None, "extract", unit="image", total=total) as progress,
    ):
        for batch in store.batches(images, batch_size):
            writer.append(function(batch))
            progress.update(len(batch))
