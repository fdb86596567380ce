"""Random sequences of changes, with the oracle of tests/oracle.py; `make oracle` tries more."""

import re
import subprocess
import sys

import pytest
from imports import ROOT

pytestmark = pytest.mark.slow


def oracle(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tests" / "oracle.py"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("sequences", "steps"), [(2, 6), pytest.param(4, 15, marks=pytest.mark.nightly)]
)
def test_after_random_changes_the_results_are_those_of_a_rebuild_from_nothing(
    sequences: int, steps: int
) -> None:
    done = oracle("--sequences", str(sequences), "--steps", "10")
    assert done.returncode == 0, done.stderr
    found = re.search(r"(\d+) sequences, (\d+) steps, (\d+) kills.* all as rebuilt", done.stdout)
    assert found, done.stdout
    assert int(found[2]) >= steps


@pytest.mark.nightly
def test_the_oracle_finds_features_that_are_keyed_by_the_image_files() -> None:
    done = oracle("--sequences", "20", "--steps", "12", "--fault", "files")
    assert done.returncode != 0
    assert re.search(r"AssertionError: \['data/features/.* differ from a rebuild", done.stderr)
    assert "change_the_segmentation" in done.stderr
