"""The CI workflow: the jobs, and when they run."""

from typing import Any

import pytest
import yaml
from imports import ROOT


@pytest.fixture
def workflow() -> dict[Any, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_pushes_are_tested_and_the_lock_of_main_is_verified_from_nothing(
    workflow: dict[Any, Any],
) -> None:
    triggers = workflow[True]  # `on` is a boolean for a reader of YAML 1.1
    assert {"push", "pull_request", "schedule"} == set(triggers)
    [weekly] = triggers["schedule"]
    assert weekly["cron"].split()[2:4] == ["*", "*"]
    assert weekly["cron"].split()[4] in [*"0123456"]
    jobs = workflow["jobs"]
    assert ".ci/run" in commands(jobs["test"])
    assert "if" not in jobs["test"]
    assert commands(jobs["verify"])[-1] == "make verify"
    assert "needs" not in jobs["verify"]
    wanted = "github.event_name == 'schedule' || github.ref == 'refs/heads/main'"
    assert jobs["verify"]["if"] == wanted
    assert all("cache" not in str(step) for step in jobs["verify"]["steps"])
