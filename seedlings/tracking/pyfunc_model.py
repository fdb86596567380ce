"""The served model: what MLflow runs of a package, from this code and not from a pickle."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from seedlings import images
from seedlings.errors import SeedlingsError
from seedlings.images import BadImageError
from seedlings.serving.predictor import Predictor
from seedlings.tracking import client


def load(package: Path) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A function from a table with a column `image`, the bytes of files, to Predictor.answer's.

    The function raises SeedlingsError that names every image that cannot be decoded.
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
