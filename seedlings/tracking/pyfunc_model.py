"""The pyfunc model: the code that MLflow runs for a package, without a pickle."""

import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from seedlings import images
from seedlings.images import BadImageError
from seedlings.serving.predictor import Predictor

# MLflow asks for type hints of its own, and resets filters of warnings.
with warnings.catch_warnings(record=True):

    class PackagedModel(PythonModel):
        """Predicts the images of a table with a package; see Predictor.answer."""

        def load_context(self, context: Any) -> None:
            """Load the package."""
            self._predictor = Predictor(Path(context.artifacts["package"]))

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            """Return the answers for the image files whose bytes are in the column `image`.

            Raises MlflowException, to which the server responds with HTTP 400, that names every
            image that cannot be decoded.
            """
            return self._predictor.answer(_decode(model_input))


def _decode(table: pd.DataFrame) -> list[images.Image]:
    decoded, reasons = [], []
    for number, data in enumerate(table["image"]):
        try:
            decoded.append(images.decode(data))
        except BadImageError as error:
            reasons.append(f"image {number}: {error}")
    if reasons or not decoded:
        reason = "; ".join(reasons) or "expected images, found none"
        raise MlflowException.invalid_parameter_value(reason)
    return decoded


set_model(PackagedModel())
