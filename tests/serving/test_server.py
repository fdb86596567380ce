"""The model servers, asked as the world asks."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
import servers
from project import Project

from benchmarks import networks
from benchmarks.model_servers import JSON, PICTURE, SERVERS, encoded, png_that_claims
from seedlings import images
from seedlings.networks import architectures
from seedlings.params import Params
from seedlings.serving.predictor import Predictor
from seedlings.tasks import TASKS

pytestmark = pytest.mark.slow


@pytest.fixture
def package(tmp_path: Path, params: Params) -> Path:
    """A package of a small network for two classes."""
    model = architectures.baseline((32, 32, 3), 1, TASKS["binary"])
    segment = {**params.segment.model_dump(), "pixels": [32, 32]}
    contents = networks.contents("binary", ["a", "b"], segment)
    networks.package(model, contents, tmp_path / "package")
    return tmp_path / "package"


@pytest.fixture(params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of each server."""
    return str(request.param)


@pytest.fixture
def address(name: str, tmp_path: Path, package: Path) -> Iterator[str]:
    """The address of a server of the package."""
    port = servers.free_port()
    command = ("seedlings", "serve", "--model", str(package), "--port", str(port))
    env = Project(tmp_path).env
    with servers.running(*command, *SERVERS[name].options, port=port, folder=tmp_path, env=env):
        yield f"http://127.0.0.1:{port}{SERVERS[name].path}"
        [folder] = (tmp_path / ".dvc" / "tmp" / "servers").glob("*/model")
    while folder.exists():  # it is removed when the server has ended
        time.sleep(0.01)


def test_a_thousand_bad_requests_are_refused_and_the_next_good_one_answered(
    name: str, address: str, package: Path
) -> None:
    server = SERVERS[name]
    rng = np.random.default_rng(5)
    with requests.Session() as session:
        for _ in range(1000):
            data, headers = server.malformed(rng)
            answer = session.post(address, data=data, headers=headers, timeout=600)
            assert 400 <= answer.status_code < 500, (data[:200], answer.status_code, answer.text)
            assert "Traceback" not in answer.text, data[:200]
        for data, reason in (
            (PICTURE[:300], "image 0: expected a whole image"),
            (png_that_claims(20_000, 20_000), "image 0: expected at most 150,000,000 pixels"),
        ):
            body = server.request(encoded(data))
            answer = session.post(address, data=body, headers=JSON, timeout=600)
            assert reason in answer.text
    # MLflow's own reader gives up on this one with a 500 and closes the connection, and lives on.
    assert requests.post(address, data=b"[" * 9999, headers=JSON, timeout=600).status_code >= 400
    body = server.request(f"data:image/png;base64,{encoded(PICTURE)}")
    answer = requests.post(address, data=body, headers=JSON, timeout=600)
    assert answer.status_code == 200
    [row] = answer.json()["predictions"]
    assert row["prediction"] in ("a", "b")
    assert sum(row["probabilities"].values()) == pytest.approx(1.0)
    own = Predictor(package).answer([images.decode(PICTURE)])
    assert [row["prediction"]] == own["prediction"].tolist()
    assert row["probability"] == pytest.approx(own["probability"][0], abs=1e-6)
