"""Features: the output of the frozen feature extractor for every image, computed once."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedlings.config import paths
from seedlings.config.reuse import Reuse
from seedlings.io import parts, rows, store
from seedlings.io.rows import Rows
from seedlings.io.shards import Engine, Shard
from seedlings.networks import models, runtime
from seedlings.networks.runtime import keras


class Extraction:
    """The work of the stage extract: features of images, in batches that are padded to one size.

    So the features of an image do not depend on its neighbours. A copy in another process has the
    network as bytes, and loads it at its first use.
    """

    name = "extract"
    dtype = np.float32

    def __init__(
        self,
        feature_extractor: "keras.Model",
        images: Path,
        *,
        batch_size: int,
        seed: int,
        threads: int,
    ) -> None:
        self._model = feature_extractor
        self._images = images.absolute()
        self.row_shape = tuple(feature_extractor.output_shape[1:])
        self.shard_size, self._seed, self._threads = batch_size, seed, threads

    def __getstate__(self) -> dict[str, Any]:
        left_out = ("_model", "_function", "_array", "_numerics")
        kept = {key: value for key, value in vars(self).items() if key not in left_out}
        return {**kept, "_saved": models.to_bytes(self._model)}

    @cached_property
    def _model(self) -> "keras.Model":
        runtime.prepare(self._seed, self._threads)
        return models.from_bytes(self._saved)  # type: ignore[attr-defined]

    @cached_property
    def _function(self) -> Any:
        return models.compiled(self._model)

    @cached_property
    def _array(self) -> store.Array:
        return store.Array(self._images)

    def read(self, shard: Shard) -> NDArray[np.uint8]:
        """Return the images of a shard: n x H x W x 3."""
        return self._array.take(parts.digests([source for _, source in shard.items]))

    def run(self, inputs: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return the features of at most `shard_size` images: n x h x w x C, or pooled n x C."""
        batch = np.zeros((self.shard_size, *inputs.shape[1:]), np.uint8)
        batch[: len(inputs)] = inputs
        return [self._function(batch)[: len(inputs)]]

    def numerics(self) -> str:
        """Return the digest of numerics: of the features of a batch of noise."""
        return self._numerics

    @cached_property
    def _numerics(self) -> str:
        shape = (self.shard_size, *self._model.input_shape[1:])
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        return parts.digest(self.run(noise)[0].tobytes())


def stored(path: Path) -> bool:
    """Return whether the array has features; without a backbone it is empty."""
    return store.shape(path)[0] > 0


def of_model(path: Path, model: "keras.Model") -> bool:
    """Return whether the array has the features of an assembled model.

    It has not if layers of the feature extractor were trained after the features were stored.
    """
    return stored(path) and not model.get_layer("feature_extractor").trainable_weights


def store_none(feature_extractor: "keras.Model", target: Path) -> None:
    """Write an empty array, for a model without a backbone."""
    shape = feature_extractor.output_shape[1:]
    none = parts.digests([])
    store.write(target, none, lambda keys: keys, row_shape=shape, dtype=Extraction.dtype)


def extract(work: Extraction, images: Path, target: Path, *, engine: Engine, last: Reuse) -> None:
    """Write the feature extractor's output for all images, in order, in float32.

    It is N x h x w x C or, if pooled, N x C. The key of a row is the digest of the content of its
    image in the array `images`. `last` is what can be reused of the last run of the stage.
    """
    cut_outs = store.Array(images)
    sources = [digest.decode() for digest in cut_outs.keys.tolist()]
    labels = [f"the image {digest} in {paths.SPLIT}" for digest in sources]
    array = store.Array(last.outputs / paths.FEATURES) if last.outputs else None
    wanted = Rows(cut_outs.contents, sources, labels)
    rows.write(target, work, wanted, engine=engine, key=last.key, last=array)
