"""The pyfunc model: the code that MLflow runs for a package, without a pickle."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from seedlings import images
from seedlings.errors import SeedlingsError
from seedlings.images import BadImageError
from seedlings.serving.predictor import Predictor
from seedlings.tracking import client


def load(package: Path) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return a function that predicts the images of a table; see Predictor.answer.

    The column `image` of the table has the bytes of one image file in each row. The function raises
    SeedlingsError that names every image that cannot be decoded.
    """
    predictor = Predictor(package)

    def answer(table: pd.DataFrame) -> pd.DataFrame:
        decoded, reasons = [], []
        for number, data in enumerate(table["image"]):
            try:
                decoded.append(images.decode(data))
            except BadImageError as error:
                reasons.append(f"image {number}: {error}")
        if reasons or not decoded:
            raise SeedlingsError("; ".join(reasons) or "expected images, found none")
        return predictor.answer(decoded)

    return answer


client.serve(load)
