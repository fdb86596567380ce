import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedlings.errors import SeedlingsError
from seedlings.networks import architectures, models
from seedlings.packaging import bundle
from seedlings.packaging.bundle import Contents
from seedlings.params import Params
from seedlings.tasks import TASKS


@pytest.fixture
def contents(params: Params) -> Contents:
    return Contents(
        task="binary",
        answers="two_classes",
        outputs=["a", "b"],
        segment={**params.segment.model_dump(), "pixels": [20, 24]},
        tag_threshold=0.5,
        largest_distance=1.25,
        share_within=0.99,
        portable=True,
    )


@pytest.fixture
def network() -> Any:
    return architectures.baseline((20, 24, 3), 1, TASKS["binary"])


def test_a_written_bundle_has_its_contents_and_its_network(
    contents: Contents, network: Any, tmp_path: Path
) -> None:
    reference = np.arange(6, dtype=np.float32).reshape(2, 3)
    bundle.write(network, contents, reference, tmp_path / "package")
    assert bundle.read(tmp_path / "package") == contents
    assert np.array_equal(bundle.read_reference(tmp_path / "package"), reference)
    assert (tmp_path / "package" / "bundle.json").is_file()
    images = np.zeros((1, 20, 24, 3), np.uint8)
    outputs = models.load(tmp_path / "package").predict(images, verbose=0)
    assert np.array_equal(outputs, network.predict(images, verbose=0))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"segment": {"size": [20, 24]}}, r"segment: .*pixels"),  # before segment.pixels
        ({"in_distribution": [0.5, 1.0]}, "expected the keys .*found .*in_distribution"),
        ({"portable": None}, "expected the keys task, .*portable, found task, "),
        ({"temperature": 1.0}, "expected the keys .*found .*temperature"),
    ],
)
def test_a_bundle_of_another_version_is_an_error_that_says_what_to_do(
    change: dict[str, Any], reason: str, contents: Contents, tmp_path: Path
) -> None:
    values = {**asdict(contents), **change}
    values = {key: value for key, value in values.items() if value is not None}
    (tmp_path / "bundle.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(SeedlingsError, match=rf"(?s)bundle\.json: .*{reason}.*run `dvc repro`"):
        bundle.read(tmp_path)


def test_a_damaged_bundle_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text('{"task": "bin', encoding="utf-8")
    with pytest.raises(SeedlingsError, match=r"damaged one \(Unterminated.*run `dvc repro`"):
        bundle.read(tmp_path)


def test_no_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SeedlingsError, match="expected a packaged model in .*run `dvc repro`"):
        bundle.read(tmp_path)


@pytest.mark.parametrize("data", [None, b"", b"no array"])
def test_a_bundle_without_the_features_of_training_is_an_error_that_says_what_to_do(
    data: bytes | None, tmp_path: Path
) -> None:
    if data is not None:
        (tmp_path / "reference.npy").write_bytes(data)
    with pytest.raises(SeedlingsError, match=r"reference\.npy: expected the features.*dvc repro"):
        bundle.read_reference(tmp_path)
