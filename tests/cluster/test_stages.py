"""The stages segment and extract on a cluster, whose workers are killed in the middle of each."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import clusters
import pytest
import yaml
from project import Project

pytestmark = pytest.mark.slow


def kill_a_worker(started: clusters.Cluster, results: Path, killed: list[int]) -> None:
    """kill -9 of a worker, once there is a first result and before the last."""
    while not [*results.glob("*.npz")]:
        time.sleep(0.01)
    process = started.workers()[0]
    process.kill()
    killed.append(process.pid)


def outputs(project: Project) -> dict[str, object]:
    lock = yaml.safe_load((project.root / "dvc.lock").read_text(encoding="utf-8"))
    return {stage: lock["stages"][stage]["outs"] for stage in ("segment", "extract")}


def test_stages_give_the_same_bytes_on_a_cluster_with_killed_workers(
    reproduced: Callable[[], Project], two_workers: clusters.Cluster
) -> None:
    project = reproduced()
    before = outputs(project)
    project.env["DASK_SCHEDULER_ADDRESS"] = two_workers.address
    killed: list[int] = []
    for stage, name in (("segment", ".images.parts"), ("extract", ".features.parts")):
        results = project.root / "data" / name
        killer = threading.Thread(target=kill_a_worker, args=(two_workers, results, killed))
        killer.start()
        project.env["SEEDLINGS_REUSE"] = "off"
        printed = project.repro("--force", "--single-item", stage)
        killer.join()
        assert "workers=" in printed
    assert len(killed) == 2
    assert outputs(project) == before
