"""The predictor: the predictions of a packaged model for image files, as tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings import processor
from seedlings.images import Image
from seedlings.packaging import bundle
from seedlings.segmentation.params import Segment
from seedlings.serving.inference import Inference, Network
from seedlings.tasks import TASKS

if TYPE_CHECKING:
    from seedlings.networks.runtime import keras


class Predictor(Inference):
    """Predicts images with the bundle in a folder.

    The network is run by TensorFlow, or it is that of `runtime`, the network of an export and the
    name of its engine. With TensorFlow, it uses the settings of the processor that the bundle was
    made with, and warns if TensorFlow has computed with others before. Raises SeedlingsError if the
    folder has no bundle.
    """

    def __init__(self, path: Path, runtime: tuple[Network, str] | None = None) -> None:
        contents = bundle.read(path)
        if runtime is None:
            processor.use(portable=contents.portable)
            runtime = with_tensorflow(load(path))
        network, self.engine = runtime
        super().__init__(contents, Segment(**contents.segment), network)
        self.task = TASKS[contents.task]

    def answer(self, images: Sequence[Image]) -> pd.DataFrame:
        """Return a table with a row for each image of `decode`; see Inference.columns."""
        return pd.DataFrame(self.columns(images))

    def answer_cut_outs(self, cut_outs: NDArray[np.uint8], shares: Sequence[float]) -> pd.DataFrame:
        """Return the table of `answer` for cut-outs, and their shares (0..1) of foreground."""
        return pd.DataFrame(self.columns_of_cut_outs(cut_outs, shares))


def load(path: Path) -> "keras.Model":
    """Return the network of a bundle, with the distances to the training images as 2nd output."""
    from seedlings.networks import models  # seconds to import
    from seedlings.packaging import distances

    return distances.with_distances(models.load(path), bundle.read_reference(path))


def with_tensorflow(network: "keras.Model") -> tuple[Network, str]:
    """Return a network as TensorFlow runs it, and the name of the engine."""
    from seedlings.networks import models

    return models.compiled(network), "tensorflow"
