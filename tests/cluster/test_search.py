"""A search on a cluster: its trials are the experiments that they would be here."""

from collections.abc import Callable
from pathlib import Path

import clusters
import pytest
import yaml
from project import Project

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
KEY = "finetune.label_smoothing"
SPACE = {
    "objective": "validation/accuracy",
    "direction": "maximize",
    "sampler": "grid",
    "parameters": {KEY: {"choices": [0.1]}},
}


def lock_of(project: Project, experiment: str) -> str:
    """The dvc.lock of an experiment."""
    refs = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    [ref] = [ref for ref in refs if ref.endswith(f"/{experiment}")]
    return project.run("git", "show", f"{ref}:dvc.lock")


def test_trials_on_workers_have_the_bytes_of_experiments_here(
    with_fake_stages: Callable[[], Project], two_workers: clusters.Cluster, tmp_path: Path
) -> None:
    here, elsewhere = with_fake_stages(), with_fake_stages()
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump(SPACE), encoding="utf-8")
    elsewhere.env |= two_workers.variables
    command = ["search", str(space), "--trials", "1", "--jobs", "2", "--name", "try"]
    printed = elsewhere.run("seedlings", *command)
    assert "try-0001: " in printed
    assert "warning" not in printed
    assert not (elsewhere.root / ".dvc" / "tmp" / "searches" / "try").exists()
    first = lock_of(elsewhere, "try-0001")
    known = yaml.safe_load(first)["stages"]["finetune"]["params"]["params.yaml"]
    value = known["finetune"]["label_smoothing"]
    settings = ("-S", f"{KEY}={value}", "-S", "evaluate.split=validation")
    here.run("dvc", "exp", "run", "--name", "here", *settings)
    assert lock_of(here, "here") == first
