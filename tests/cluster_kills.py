"""Kills: a process is killed in the middle of the work, and the results are those without a kill.

    python -m pytest -v tests/cluster_kills.py

It takes minutes, so pytest does not find it by its name; the tests kill each process once.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import clusters
import pytest
import yaml
from project import Project

SEARCH = ("seedlings", "search", "space.yaml", "--trials", "20", "--jobs", "2", "--name", "killed")
SPACE = """
objective: validation/accuracy
direction: maximize
sampler: random
parameters:
  finetune.optimizer.learning_rate: {range: [1.0e-3, 1.0e-1], log: true}
  finetune.head.dropout: {range: [0.0, 0.5]}
"""


def stage_outputs(project: Project, stage: str) -> object:
    lock = yaml.safe_load((project.root / "dvc.lock").read_text(encoding="utf-8"))
    return lock["stages"][stage]["outs"]


class Command:
    """A command in a project, with the cluster of the moment."""

    def __init__(self, project: Project, command: tuple[str, ...], log: Path) -> None:
        self.project, self.command, self.log = project, command, log
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.project.root,
                env=self.project.env,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self.process

    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("victim", ["worker", "scheduler", "client"])
@pytest.mark.parametrize(("stage", "name"), [("segment", ".images"), ("extract", ".features")])
def test_a_stage_has_the_same_bytes(
    stage: str,
    name: str,
    victim: str,
    parts: int,
    reproduced: Callable[[], Project],
    tmp_path: Path,
) -> None:
    project = reproduced()
    project.env["SEEDLINGS_REUSE"] = "off"
    expected = stage_outputs(project, stage)
    results = project.root / "data" / f"{name}.parts"
    with ExitStack() as stack:
        started = stack.enter_context(clusters.running(tmp_path / "first", 2))
        project.env |= started.variables
        repro = ("dvc", "repro", "--force", "--single-item", stage)
        command = Command(project, repro, tmp_path / "log")
        while len([*results.glob("*.npz")]) < parts:
            assert command.process.poll() is None, command.printed()
            time.sleep(0.001)
        if victim == "worker":
            started.workers()[0].kill()
        elif victim == "scheduler":
            started.process.kill()
            assert command.process.wait()
            assert "has ended or does not answer; what is complete is kept" in command.printed()
            assert "Traceback" not in command.printed()
            again = stack.enter_context(clusters.running(tmp_path / "second", 2))
            project.env |= again.variables
        else:
            command.kill()
        if victim != "worker":
            assert [*results.glob("*.npz")]
            command.start()
        assert command.process.wait() == 0, command.printed()
    if victim != "worker":
        assert "images were done before" in command.printed()
    assert stage_outputs(project, stage) == expected


def locks(project: Project) -> dict[str, str]:
    """The dvc.lock of each experiment of the search, by its name."""
    refs = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    return {
        ref.rpartition("/")[2]: project.run("git", "show", f"{ref}:dvc.lock")
        for ref in refs
        if "/killed-" in ref
    }


@pytest.fixture(scope="module")
def undisturbed(with_fake_stages: Callable[[], Project]) -> dict[str, str]:
    project = with_a_space(with_fake_stages())
    project.run(*SEARCH)
    return locks(project)


def with_a_space(project: Project) -> Project:
    project.in_process = project.tracking = False
    (project.root / "space.yaml").write_text(SPACE, encoding="utf-8")
    project.commit("A space")
    return project


@pytest.mark.parametrize("victim", ["coordinator", "worker", "both"])
def test_a_search_has_the_same_twenty_trials(
    victim: str,
    with_fake_stages: Callable[[], Project],
    undisturbed: dict[str, str],
    tmp_path: Path,
) -> None:
    project = with_a_space(with_fake_stages())
    with clusters.running(tmp_path / "cluster", 2) as started:
        project.env |= started.variables
        command = Command(project, SEARCH, tmp_path / "log")
        for trials in (4, 9, 14):
            while command.printed().count(" (best killed-") < trials:
                assert command.process.poll() is None, command.printed()
                time.sleep(0.05)
            if victim != "coordinator":
                with suppress(IndexError):  # none is back yet
                    started.workers()[0].kill()
            if victim != "worker":
                command.kill()
                command.start()
        assert command.process.wait() == 0, command.printed()
    assert "20 of 20 trials finished." in command.printed()
    found = locks(project)
    assert len(found) == 22  # with the start and the best
    assert found == undisturbed
