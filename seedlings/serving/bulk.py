"""Prediction at scale: the answers for any number of files, in a Parquet data set."""

import hashlib
import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seedlings import processor
from seedlings.errors import SeedlingsError
from seedlings.io.shards import Engine, Shard
from seedlings.packaging import bundle
from seedlings.serving import addresses
from seedlings.serving.inference import BATCH
from seedlings.serving.listing import Listing
from seedlings.serving.parquet import Parquet
from seedlings.serving.predictions import decoded, printable
from seedlings.serving.predictor import Predictor

# The network's outputs are float32; one field for each class, so that a query reads one alone.
_TYPES = {"text": pa.string(), "number": pa.float32()}
_LOADING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Summary:
    """What `predict` did: numbers of files, and messages for the first files without answers."""

    files: int
    errors: int
    first_errors: list[str]
    images_per_second: float  # of this run; 0 if all answers were there before


@dataclass(frozen=True, slots=True)
class Inputs:
    """The cut-outs of a shard, padded to whole batches; `errors` are "" for images."""

    paths: list[str]
    cut_outs: NDArray[np.uint8]
    shares: NDArray[np.float64]
    errors: list[str]


class Answers:
    """The work that predicts the files of a shard with a bundle; see shards.Work.

    It contains the files of the bundle, because a worker may not reach its folder.
    """

    name = "predict"

    def __init__(self, package: Path) -> None:
        self._files = {path.name: path.read_bytes() for path in bundle.files(package)}
        self._digest = bundle.digest(package)
        self._folder = str(Path.cwd())  # relative paths are relative to it, also in a worker
        self._predictor: Predictor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_predictor": None}

    def digest(self) -> str:
        """Return a digest of the bundle."""
        return self._digest

    def read(self, shard: Shard) -> Inputs:
        """Return the cut-outs of the images of a shard: smaller than the images, or their files.

        A file that is no image has black pixels, and its reason in `errors`.
        """
        size = self.predictor().contents.segment["pixels"]
        padded = -(-len(shard) // BATCH) * BATCH
        cut_outs = np.zeros((padded, *size, 3), np.uint8)
        shares, errors = np.zeros(padded), [""] * len(shard)
        items = [self._absolute(item) for item in shard.items]
        for start in range(0, len(items), BATCH):
            batch = decoded(items[start : start + BATCH], self.predictor())
            for row, image in enumerate(batch, start):
                if isinstance(image, str):
                    errors[row] = image
                else:
                    cut_outs[row], shares[row] = self.predictor().cut_out_with_share(image)
        return Inputs(list(shard.labels), cut_outs, shares, errors)

    def run(self, inputs: Inputs) -> pa.Table:
        """Return a row for each file, with the columns of Predictor.answer, `path` and `error`.

        All batches have the same shape, so that an answer does not depend on the number of files.
        """
        count = len(inputs.paths)
        contents = self.predictor().contents
        numbers = pa.struct([(name, pa.float32()) for name in contents.outputs])
        types = {**_TYPES, "numbers": numbers}
        found = self.predictor().answer_cut_outs(inputs.cut_outs, list(inputs.shares))[:count]
        bad = np.array([error != "" for error in inputs.errors])
        columns = {"path": pa.array(inputs.paths, pa.string())}
        for name, kind in {**self.predictor().task.answer_types, **_REASON}.items():
            values = [None if no else value for no, value in zip(bad, found[name], strict=True)]
            columns[name] = pa.array(values, types[kind])
        return pa.table({**columns, "error": pa.array(inputs.errors, pa.string())})

    def numerics(self) -> str:
        """Return the digest of numerics: of the cut-out of noise, its outputs and its distance."""
        noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
        cut_out = self.predictor().cut_out(noise)
        digest = hashlib.blake2b(cut_out.tobytes(), digest_size=16)
        for values in self.predictor().run(np.stack([cut_out] * BATCH)):
            digest.update(values.tobytes())
        return digest.hexdigest()

    def predictor(self) -> Predictor:
        """Return the predictor, which is loaded once in each process."""
        with _LOADING:
            if self._predictor is None:
                with tempfile.TemporaryDirectory() as folder:
                    for name, data in self._files.items():
                        (Path(folder) / name).write_bytes(data)
                    self._predictor = Predictor(Path(folder))
            return self._predictor

    def _absolute(self, address: str) -> str:
        if addresses.is_remote(address):
            return address
        return os.path.join(self._folder, address)  # noqa: PTH118 - a path may end like an address


_REASON = {"out_of_distribution": "text"}


def predict(
    package: Path, paths: Sequence[str], output: str, *, engine: Engine, overwrite: bool
) -> Summary:
    """Write the answers for all files at and below the paths as Parquet parts in a folder.

    Each file has one row, in the order of `addresses.distinct`. A run that was killed is resumed by
    the same call. Raises SeedlingsError if a path does not exist, if there are no files, or if
    `output` is below a path or contains something else.
    """
    inputs, target = [addresses.normalized(path) for path in paths], addresses.normalized(output)
    for path in inputs:
        if addresses.contains(path, target):
            raise SeedlingsError(
                f"expected an output outside of the images, found {target} in {path}; "
                "choose another --output"
            )
    processor.use(portable=bundle.read(package).portable)  # workers get the settings that are here
    work, sink = Answers(package), Parquet(target)
    with tempfile.TemporaryDirectory() as folder:
        shards = Listing(addresses.distinct(inputs), Path(folder) / "files", printable)
        if not shards:
            raise SeedlingsError(f"expected images in {', '.join(paths)}, found none")
        key = {"model": work.digest(), "list or version of files": shards.digest}
        sink.prepare(key, overwrite=overwrite)
        before = sink.complete()
        missing = sum(shard_files for name, shard_files in shards.sizes() if name not in before)
        start = perf_counter()
        engine.map(work, shards, sink)
        took = perf_counter() - start
        count, first = sink.errors([name for name, _ in shards.sizes()])
        sink.finish()
    return Summary(shards.files, count, first, missing / took)
