"""The predictor: the predictions of a packaged model for image files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings import processor
from seedlings.networks import models
from seedlings.packaging import bundle, distances
from seedlings.segmentation import cutouts
from seedlings.segmentation.params import Segment
from seedlings.tasks import TASKS

BATCH = 32

Image = NDArray[np.uint8]
Outputs = NDArray[np.float32]


class Predictor:
    """Predicts images with the bundle in a folder.

    It uses the settings of the processor that the bundle was made with, and warns if TensorFlow has
    computed with others before. Raises SeedlingsError if the folder has no bundle.
    """

    def __init__(self, path: Path) -> None:
        self.contents = bundle.read(path)
        processor.use(portable=self.contents.portable)
        self.task = TASKS[self.contents.task]
        self._segment = Segment(**self.contents.segment)
        network = distances.with_distances(models.load(path), bundle.read_reference(path))
        self._network = models.compiled(network)

    def decode(self, data: bytes) -> Image:
        """Return an image file (RGB uint8) as `answer` expects it; see cutouts.decode."""
        return cutouts.decode(data, self._segment)

    def answer(self, images: Sequence[Image]) -> pd.DataFrame:
        """Return a table with a row for each image of `decode`.

        The column `prediction` has a class, tags separated by spaces, or a number. Classes also
        have `probability`; classes and tags have `probabilities`, by name. `out_of_distribution`
        is the reason why an image is out-of-distribution, or "".
        """
        cut_out, shares = zip(*(self.cut_out_with_share(i) for i in images), strict=True)
        return self.answer_cut_outs(np.stack(cut_out), shares)

    def answer_cut_outs(self, cut_outs: NDArray[np.uint8], shares: Sequence[float]) -> pd.DataFrame:
        """Return the table of `answer` for cut-outs, and their shares (0..1) of foreground."""
        outputs, found = self.run(cut_outs)
        reasons = [
            self._out_of_distribution(share, distance)
            for share, distance in zip(shares, found.tolist(), strict=True)
        ]
        names, threshold = self.contents.outputs, self.contents.tag_threshold
        answers = self.task.answers(outputs, names, threshold)
        return pd.DataFrame({**answers, "out_of_distribution": reasons})

    def cut_out_with_share(self, image: Image) -> tuple[Image, float]:
        """Return the network's input for an image, and its share (0..1) of foreground."""
        return cutouts.with_share(image, self._segment)

    def cut_out(self, image: Image) -> Image:
        """Return the network's input (H x W x 3, RGB uint8) for an image of `decode`."""
        return self.cut_out_with_share(image)[0]

    def run(self, batch: NDArray[np.uint8]) -> tuple[Outputs, NDArray[np.float32]]:
        """Return the network's outputs (N x units) and the distances (N) of cut-outs.

        Cut-outs are N x H x W x 3, RGB uint8; the distance is that to the images of training.
        """
        parts = (batch[start : start + BATCH] for start in range(0, len(batch), BATCH))
        outputs, found = zip(*map(self._network, parts), strict=True)
        return np.concatenate(outputs), np.concatenate(found)[:, 0]

    def _out_of_distribution(self, share: float, distance: float) -> str:
        if share < self._segment.empty_below:
            return f"empty mask: {share:.2%} of the image is foreground"
        if distance > self.contents.largest_distance:
            return (
                f"unlike the training images: distance {distance:.3g}; "
                f"{100 * self.contents.share_within:.3g}% of images like them are within "
                f"{self.contents.largest_distance:.3g}"
            )
        return ""
