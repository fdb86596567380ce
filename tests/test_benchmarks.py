"""The benchmarks, each with few small images."""

import os
import subprocess
import sys

import numpy as np
import pytest
from imports import ROOT

from benchmarks import measure

# The others take minutes also on small images.
NAMES = ("ingest", "extraction", "training", "memory", "serving", "exports", "scale")


def test_a_speedup_is_the_median_over_the_rounds() -> None:
    times = {"fast": np.array([1.0, 2.0, 1.0]), "slow": np.array([2.0, 8.0, 3.0])}
    assert measure.speedup(times, "fast", "slow") == 3.0


@pytest.mark.slow
def test_actions_take_turns() -> None:
    order: list[str] = []
    actions = {name: lambda name=name: order.append(name) for name in "ab"}
    times = measure.in_turns(actions, rounds=2)
    assert order == ["a", "b", "a", "b"]
    assert [len(values) for values in times.values()] == [2, 2]


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_on_small_images(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--small", name],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
