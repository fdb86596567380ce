"""The pyfunc model, asked in process by the functions of MLflow's scoring server."""

import base64
import json
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from benchmarks import networks
from seedlings import images
from seedlings.networks import architectures
from seedlings.tasks import TASKS
from seedlings.tracking import client

FILE = images.encode_png(np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8))
BASE64 = base64.b64encode(FILE).decode()
DATA_URI = f"data:image/png;base64,{BASE64}"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The pyfunc model of a small network for two classes."""
    folder = tmp_path_factory.mktemp("served")
    segment = {"method": "none", "background": "black", "pixels": [20, 24], "fit": "stretch"}
    segment["empty_below"] = 0.01
    contents = networks.contents("binary", ["a", "b"], segment)
    networks.package(
        architectures.baseline((20, 24, 3), 1, TASKS["binary"]), contents, folder / "package"
    )
    client.save_model(folder / "package", folder / "model")
    return mlflow.pyfunc.load_model(str(folder / "model"))


def answers(model: Any, data: str | bytes, content_type: str = "application/json") -> Any:
    schema = model.metadata.get_input_schema()
    response = scoring_server.invocations(data, content_type, model, schema)
    assert response.status == 200
    return json.loads(response.response)["predictions"]


@pytest.mark.parametrize("text", [BASE64, DATA_URI, base64.encodebytes(FILE).decode()])
@pytest.mark.parametrize(
    "form",
    [
        lambda text: {"dataframe_split": {"columns": ["image"], "data": [[text]]}},
        lambda text: {"dataframe_records": [{"image": text}]},
        lambda text: {"inputs": {"image": [text]}},
        lambda text: {"inputs": [{"image": text}]},
        lambda text: {"inputs": [text]},
        lambda text: {"instances": [{"image": text}]},
        lambda text: {"instances": [text]},
    ],
    ids=["split", "records", "inputs", "inputs records", "inputs list", "instances", "list"],
)
def test_an_image_is_answered_in_every_form_of_a_request(model: Any, form: Any, text: str) -> None:
    expected = model.predict(pd.DataFrame({"image": [FILE]}))
    assert answers(model, json.dumps(form(text))) == expected.to_dict("records")


def test_a_large_image_is_decoded_at_the_reduction_of_the_stage_segment(model: Any) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (170, 210, 3), dtype=np.uint8)
    large = images.encode_png(pixels)
    reduced = images.encode_png(images.decode(large, least=(40, 48)))  # twice segment.pixels
    answers = model.predict(pd.DataFrame({"image": [large, reduced]}))
    assert answers["probability"][0] == answers["probability"][1]


def test_tables_of_bytes_and_of_csv_are_answered(model: Any) -> None:
    table = pd.DataFrame({"image": [FILE, FILE]})
    expected = model.predict(table)["probability"].tolist()
    for data, content_type in (
        (table.to_parquet(), "application/vnd.apache.parquet"),
        (f'image\n{BASE64}\n"{DATA_URI}"\n', "text/csv"),
    ):
        assert [row["probability"] for row in answers(model, data, content_type)] == expected


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ([[BASE64], ["/etc/hostname"]], "image 1 is not: .*base64"),
        ([[5]], "image 0 is not: it has the type int"),
        ([[None]], "image 0 is not: it has the type NoneType"),
        ([[[137, 80]]], "image 0 is not: it has the type list"),
        ([[{"b64": BASE64}]], "image 0 is not: it has the type dict"),
        ([], "found no images"),
    ],
)
def test_a_request_in_another_form_is_refused_with_the_one_that_is_expected(
    model: Any, cells: list[Any], found: str
) -> None:
    request = json.dumps({"dataframe_split": {"columns": ["image"], "data": cells}})
    expected = rf"as text in the column `image`, in base64 .*dataframe_split.*{found}"
    with pytest.raises(MlflowException, match=expected) as told:
        answers(model, request)
    assert told.value.get_http_status_code() == 400
    assert "stack_trace" not in json.loads(told.value.serialize_as_json())


def test_the_answer_to_a_bad_image_has_the_reason_and_not_the_request(model: Any) -> None:
    cut = base64.b64encode(FILE[:300]).decode()
    with pytest.raises(MlflowException) as told:
        answers(model, json.dumps({"inputs": {"image": [BASE64, cut]}}))
    assert json.loads(told.value.serialize_as_json())["message"] == (
        "image 1: expected a whole image, found a truncated or damaged one "
        "(it ends before its last chunk does)"
    )
