import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import in_bfloat16
import pytest
from imports import ROOT

from seedlings import processor
from seedlings.errors import SeedlingsError
from seedlings.networks.runtime import keras
from seedlings.training import precision


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """What a process prints that computes with bfloat16."""
    try:
        assert precision.choose("auto") == precision.choose("bfloat16")
    except SeedlingsError as error:
        pytest.skip(str(error))
    env = {key: value for key, value in os.environ.items() if key not in processor.SETTINGS}
    done = subprocess.run(
        [sys.executable, in_bfloat16.__file__],
        cwd=ROOT,
        env=env | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.nightly
@pytest.mark.parametrize("training", ["False", "True"])
def test_a_lowered_model_has_nearly_the_same_outputs(
    training: str, measured: dict[str, Any]
) -> None:
    found = measured["outputs"][training]
    assert found["dtype"] == "float32"
    assert 0.0 < found["difference"] < 0.02
    assert found["weights"] < 0.02  # the moving statistics, too
    assert (found["weights"] > 0.0) == (training == "True")


@pytest.mark.nightly
def test_the_statistics_of_bfloat16_are_sums_in_float32(measured: dict[str, Any]) -> None:
    assert measured["statistics"] == pytest.approx([2.0, 1.0], abs=1e-4)


@pytest.mark.nightly
def test_training_in_bfloat16_learns_and_gives_the_same_bytes_after_a_kill(
    measured: dict[str, Any],
) -> None:
    found = measured["training"]
    assert found["loss"][-1] < 0.8 * found["loss"][0]
    assert found["digest"] == found["digest after a kill"]


def test_all_layers_but_the_output_compute_with_bfloat16() -> None:
    twin = precision.lowered(in_bfloat16.network())
    computing = [layer for layer in twin.layers if not isinstance(layer, keras.layers.InputLayer)]
    found = {layer.name: layer.compute_dtype for layer in computing}
    assert found.pop("output") == "float32"
    assert set(found.values()) == {"bfloat16"}
    assert {weights.dtype for weights in twin.weights} == {"float32"}


def test_features_are_standardised_in_float32() -> None:
    features = keras.Input((2,))
    x = keras.layers.Rescaling([1.0, 2.0], [0.5, -0.5], name="standardization")(features)
    x = keras.layers.Dense(3, name="hidden")(x)
    twin = precision.lowered(keras.Model(features, keras.layers.Dense(2, name="output")(x)))
    found = {layer.name: layer.compute_dtype for layer in twin.layers[1:]}
    assert found == {"standardization": "float32", "hidden": "bfloat16", "output": "float32"}


def test_auto_is_bfloat16_where_the_processor_has_it_and_bfloat16_is_refused_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "_FACTS", facts)
    with pytest.raises(SeedlingsError, match="expected `float32` or `auto`, as") as caught:
        precision.choose("bfloat16")
    assert processor.name() in str(caught.value)
    facts.write_text("model name : a\nflags : fpu avx2 avx512f\n\nflags : amx_bf16\n")
    with pytest.raises(SeedlingsError, match="AVX512_BF16 or AMX"):
        precision.choose("bfloat16")
    assert [precision.choose(wanted) for wanted in ("float32", "auto")] == ["float32"] * 2
    facts.write_text("model name : a\nflags : fpu avx512_bf16\n")
    assert precision.choose("float32") == "float32"
    assert [precision.choose(wanted) for wanted in ("bfloat16", "auto")] == ["bfloat16"] * 2
