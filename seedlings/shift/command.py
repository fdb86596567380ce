"""The check of files: what a model says about them, beside its validation images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seedlings import processor
from seedlings.errors import SeedlingsError
from seedlings.images import Image
from seedlings.io.progress import bar
from seedlings.networks import models
from seedlings.packaging import bundle, distances
from seedlings.serving import addresses
from seedlings.serving.inference import BATCH
from seedlings.serving.predictions import decoded, printable
from seedlings.serving.predictor import Predictor, with_tensorflow
from seedlings.shift import comparison
from seedlings.shift.comparison import Comparison, Measured


def check(
    package: Path, locations: Sequence[str]
) -> tuple[Measured, Comparison, list[str], Predictor]:
    """Return what the model in a folder says about files, and how they compare with its data.

    Also returned are a message for each file that is no image, and the predictor. Raises
    SeedlingsError if a location does not exist, or has fewer than 2 images.
    """
    processor.use(portable=bundle.read(package).portable)
    reference = bundle.read_reference(package)
    network = distances.with_distances(models.load(package), reference, with_rows=True)
    run, engine = with_tensorflow(network)
    predictor = Predictor(package, (run, engine))
    files = [file for file, _ in addresses.distinct(map(addresses.normalized, locations))]
    if not files:
        raise SeedlingsError(f"expected images in {', '.join(locations)}, found none")
    wanted = set(comparison.chosen(len(files)).tolist())
    paths, shares, bad, results, rows = [], [], [], [], []
    with bar(None, "check", unit="image", total=len(files)) as shown:
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            cut_outs: list[Image] = []
            chosen: list[int] = []
            found = decoded(batch, predictor)
            for number, (path, image) in enumerate(zip(batch, found, strict=True), start):
                if isinstance(image, str):
                    bad.append(f"{printable(path)}: {image}")
                    continue
                cut_out, share = predictor.cut_out_with_share(image)
                chosen += [len(cut_outs)] if number in wanted else []
                cut_outs.append(cut_out)
                shares.append(share)
                paths.append(path)
            if cut_outs:
                outputs, far, features = run(np.stack(cut_outs))
                results.append((outputs, far[:, 0]))
                rows.append(features[chosen])
            shown.update(len(batch))
    if len(paths) < 2:
        raise SeedlingsError(f"--check: expected at least 2 images, found {len(paths)}")
    outputs, far = (np.concatenate(part) for part in zip(*results, strict=True))
    new = Measured(paths, outputs, far, np.array(shares), np.concatenate(rows))
    return new, comparison.compare(new, package), bad, predictor
