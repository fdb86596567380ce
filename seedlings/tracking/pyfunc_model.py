"""The pyfunc model: the code that MLflow runs for a package, without a pickle."""

import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel

from seedlings.images import BadImageError, Image
from seedlings.serving.base64_files import file_of
from seedlings.serving.predictor import Predictor

_FORM = (
    "expected image files as text in the column `image`, in base64 or as data URIs with base64, "
    'such as {"dataframe_split": {"columns": ["image"], "data": [["iVBORw0KGgo..."]]}}'
)


class BadRequestError(MlflowException):
    """A request that cannot be answered; the server responds with HTTP 400 and the message."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, error_code=INVALID_PARAMETER_VALUE)
        self._reason = reason

    def serialize_as_json(self) -> str:
        """Return the response, without the request, which MLflow puts before the reason."""
        self.message = self._reason
        return str(super().serialize_as_json())


# MLflow asks for type hints of its own, and resets filters of warnings.
with warnings.catch_warnings(record=True):

    class PackagedModel(PythonModel):
        """Predicts the images of a table with a package; see Predictor.answer."""

        def load_context(self, context: Any) -> None:
            """Load the package."""
            self._predictor = Predictor(Path(context.artifacts["package"]))

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            """Return the answers for the image files in the column `image`, as bytes or base64.

            Raises BadRequestError that names every image that cannot be decoded, or the form that
            is expected.
            """
            return self._predictor.answer(_decode(model_input, self._predictor))


def _decode(table: pd.DataFrame, predictor: Predictor) -> list[Image]:
    decoded, reasons = [], []
    for number, cell in enumerate(table["image"]):
        try:
            decoded.append(predictor.decode(_file(cell)))
        except BadImageError as error:
            reasons.append(f"image {number}: {error}")
        except ValueError as error:
            raise BadRequestError(f"{_FORM}; image {number} is not: {error}") from error
    if reasons or not decoded:
        raise BadRequestError("; ".join(reasons) or f"{_FORM}, found no images")
    return decoded


def _file(cell: Any) -> bytes:
    """Return an image file from its bytes, base64 or data URI; raise ValueError for others."""
    if isinstance(cell, bytes):
        return cell
    if not isinstance(cell, str):
        raise ValueError(f"it has the type {type(cell).__name__}")
    return file_of(cell)


set_model(PackagedModel())
