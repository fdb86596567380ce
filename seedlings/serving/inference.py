"""Inference: from image files to answers, with NumPy and OpenCV and any runtime of the network."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedlings.answers import Columns, in_form, out_of_distribution
from seedlings.images import Image
from seedlings.segmentation.preprocessing import cut_out, cut_out_with_share, decoded

BATCH = 32

Network = Callable[[NDArray[np.uint8]], Sequence[NDArray[np.float32]]]


class Inference:
    """The answers of a network with its preprocessing.

    `contents` are those of the bundle, and `segment` is their section `segment` as an object.
    `network` maps cut-outs (N x H x W x 3, RGB uint8) to outputs (N x units) and distances to the
    training images (N x 1).
    """

    def __init__(self, contents: Any, segment: Any, network: Network) -> None:
        self.contents = contents
        self.segment = segment
        self._network = network

    def decode(self, data: bytes) -> Image:
        """Return an image file (RGB uint8) as `columns` expects it; see preprocessing.decoded."""
        return decoded(data, self.segment)

    def columns(self, images: Sequence[Image]) -> Columns:
        """Return the columns of answers.in_form for images of `decode`, and `out_of_distribution`.

        The latter is the reason why an image is out-of-distribution, or "".
        """
        cut_outs, shares = zip(*(self.cut_out_with_share(i) for i in images), strict=True)
        return self.columns_of_cut_outs(np.stack(cut_outs), shares)

    def columns_of_cut_outs(self, cut_outs: NDArray[np.uint8], shares: Sequence[float]) -> Columns:
        """Return the columns of `columns` for cut-outs, and their shares (0..1) of foreground."""
        outputs, distances = self.run(cut_outs)
        known = self.contents
        reasons = [
            out_of_distribution(share, distance, known)
            for share, distance in zip(shares, distances.tolist(), strict=True)
        ]
        answers = in_form(known.answers, outputs, known.outputs, known.tag_threshold)
        return {**answers, "out_of_distribution": reasons}

    def cut_out_with_share(self, image: Image) -> tuple[Image, float]:
        """Return the network's input for an image, and its share (0..1) of foreground."""
        return cut_out_with_share(image, self.segment)

    def cut_out(self, image: Image) -> Image:
        """Return the network's input (H x W x 3, RGB uint8) for an image of `decode`."""
        return cut_out(image, self.segment)

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the network's outputs (N x units) and the distances (N) of cut-outs.

        Cut-outs are N x H x W x 3, RGB uint8; the distance is that to the images of training.
        """
        parts = (batch[start : start + BATCH] for start in range(0, len(batch), BATCH))
        outputs, distances = zip(*map(self._network, parts), strict=True)
        return np.concatenate(outputs), np.concatenate(distances)[:, 0]
