"""Repeats in a project: what other seeds change, and what a killed command leaves."""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from project import Project

from seedlings.config import params, pipeline, yaml_files

pytestmark = pytest.mark.slow

REPEAT = ("seedlings", "repeat", "wide", "--seeds", "2")
# A training that takes long enough to be killed, where the environment asks for it.
PAUSED = 'import os, time\ntime.sleep(float(os.environ.get("PAUSE", "0")))\n'
FILES = ("params.yaml", "dvc.lock")
ROWS = re.compile(r"(segment|extract): \d+ of (\d+) rows are reused from the cache, (\d+) are")


def outputs(project: Project) -> dict[str, str]:
    """DVC's hashes of the split table and the model, which have no parameters inside."""
    locked = pipeline.parse_stages((project.root / "dvc.lock").read_text(encoding="utf-8"))
    found = {out["path"]: out["md5"] for stage in locked.values() for out in stage["outs"]}
    return {path: found[path] for path in ("data/split.csv", "models/finetuned")}


def test_other_seeds_change_split_and_training_alone_and_compute_no_row(
    reproduced: Callable[[], Project],
) -> None:
    project = reproduced()
    before = outputs(project)
    project.set(split__seed=1)
    output = project.repro("finetune")
    assert project.ran(output) == ["split", "segment", "finetune"]
    assert ROWS.findall(output) == [("segment", "240", "0")]
    assert "split: the hashes of 240 of 240 images are reused from the cache" in output
    of_split = outputs(project)
    project.set(finetune__seed=1)
    assert project.ran(project.repro("finetune")) == ["finetune"]
    of_both = outputs(project)
    assert of_both["data/split.csv"] == of_split["data/split.csv"] != before["data/split.csv"]
    assert len({found["models/finetuned"] for found in (before, of_split, of_both)}) == 3

    project.set(split__seed=42, finetune__seed=42)  # the common seed
    project.repro("finetune")
    assert outputs(project) == before


@pytest.fixture(scope="module")
def make(with_fake_stages: Callable[[], Project]) -> Callable[[], Project]:
    """Make a project with results, whose training is long enough to be killed."""

    def prepare() -> Project:
        project = with_fake_stages()
        script = project.root / "stages" / "finetune.py"
        script.write_text(script.read_text(encoding="utf-8") + PAUSED, encoding="utf-8")
        project.commit("A slower training")
        return project

    return prepare


def results(project: Project, name: str = "wide") -> dict[str, tuple[str, str]]:
    """The parameters and the dvc.lock of each experiment of a name."""
    listed = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps/").split()
    refs = {ref.rpartition("/")[2]: ref for ref in listed}
    texts = {
        key: tuple(project.run("git", "show", f"{ref}:{file}") for file in FILES)
        for key, ref in refs.items()
        if key.startswith(f"{name}-")
    }
    return dict(sorted(texts.items()))


@pytest.mark.nightly
def test_repeats_leave_experiments_that_differ_in_their_seeds_alone(
    make: Callable[[], Project],
) -> None:
    project = make()
    before = files(project)
    printed = project.run(*REPEAT, "--jobs", "2")
    assert files(project) == before
    assert project.run("git", "status", "--porcelain") == ""
    assert not (project.root / ".dvc" / "tmp" / "repeats" / "wide").exists()
    assert "wide: 2 seeds, evaluated on test images" in printed
    assert "warning" not in printed
    found = results(project)
    assert list(found) == ["wide-seed0001", "wide-seed0002"]
    own = params.flatten(yaml_files.read(project.root / "params.yaml"))
    for seed, (text, _) in enumerate(found.values(), 1):
        changed = params.flatten(yaml_files.parse(text))
        assert {key: value for key, value in changed.items() if own[key] != value} == {
            "split.seed": seed,
            "finetune.seed": seed,
        }

    tracker = MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    experiment = tracker.get_experiment_by_name("seedlings")
    assert experiment
    runs = tracker.search_runs([experiment.experiment_id], "tags.`seedlings.repeats` = 'wide'")
    by_name = {run.info.run_name: run for run in runs}
    assert sorted(by_name) == ["wide", *found]
    scores = [by_name[name].data.metrics["finetuned/accuracy"] for name in found]
    run = by_name["wide"]
    assert run.info.status == "FINISHED"
    history = tracker.get_metric_history(run.info.run_id, "finetuned/accuracy")
    assert [point.value for point in sorted(history, key=lambda p: p.step)] == scores
    assert run.data.metrics["finetuned/accuracy_mean"] == pytest.approx(sum(scores) / 2)

    again = project.run(*REPEAT)
    assert "seed0001:" not in again  # nothing ran
    assert printed.endswith(again)

    project.set(finetune__epochs=2)
    project.commit("Another variant")
    project.run("seedlings", "repeat", "short", "--seeds", "2")
    compared = project.run("seedlings", "compare", "--repeats", "wide", "short")
    assert "wide → short: 2 seeds, on test images of the same splits" in compared
    assert "Over 2 seeds, " in compared


@pytest.mark.nightly
def test_repeats_go_on_after_kills_with_the_results_of_an_undisturbed_run(
    make: Callable[[], Project], tmp_path: Path
) -> None:
    project, undisturbed = make(), make()
    folder = project.root / ".dvc" / "tmp" / "repeats" / "wide"
    for seed in (1, 2):  # it is killed in the training of each
        log = tmp_path / f"log-{seed}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                REPEAT,
                cwd=project.root,
                env={**project.env, "PAUSE": "2"},
                stdout=output,
                stderr=output,
            )
        while True:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            logs = folder.glob(f"wide-seed{seed:04d}-*/clone.log")
            is_there = any("Running stage 'finetune'" in log.read_text("utf-8") for log in logs)
            if is_there:
                break
            time.sleep(0.05)
        process.kill()
        process.wait()
        assert list(results(project)) == [f"wide-seed{n:04d}" for n in range(1, seed)]
    printed = project.run(*REPEAT)
    assert "wide-seed0001: " not in printed  # it was finished
    assert "wide-seed0002: " in printed
    undisturbed.run(*REPEAT)
    assert results(project) == results(undisturbed)
    assert not folder.exists()
    assert project.run("git", "status", "--porcelain") == ""


def files(project: Project) -> dict[Path, tuple[int, int]]:
    """The time and the size of the parameters, the lock, and each file of the results."""
    found = [project.root / name for name in FILES]
    for folder in ("data", "models", "reports"):
        found += [path for path in (project.root / folder).rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in found}
