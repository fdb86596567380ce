"""MLflow as a view of DVC: on a small project with experiments of every kind."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from project import STAGES, Project

pytestmark = pytest.mark.slow


@dataclass
class View:
    """What MLflow shows of one parent, as far as it has to be the same wherever it is made."""

    params: dict[str, str]
    metrics: dict[str, float]
    children: list[tuple[str, str, str]]
    has_model: bool


def runs_of(project: Project, database: str = "mlflow.db") -> list[Any]:
    client = mlflow.MlflowClient(f"sqlite:///{project.root / database}")
    experiment = client.get_experiment_by_name("seedlings")
    return client.search_runs([experiment.experiment_id], max_results=1000)


def views_of(project: Project, database: str = "mlflow.db") -> dict[str, View]:
    """Each parent by the digest of its dvc.lock."""
    runs = runs_of(project, database)
    views = {}
    for run in runs:
        if "mlflow.parentRunId" in run.data.tags:
            continue
        children = [
            (
                child.info.run_name,
                json.dumps(child.data.params, sort_keys=True),
                json.dumps(child.data.metrics, sort_keys=True),
            )
            for child in runs
            if child.data.tags.get("mlflow.parentRunId") == run.info.run_id
        ]
        assert run.info.status == "FINISHED"
        views[run.data.tags["seedlings.lock"]] = View(
            run.data.params, run.data.metrics, sorted(children), bool(run.outputs.model_outputs)
        )
    return views


@pytest.fixture(scope="module")
def team(with_fake_stages: Callable[[], Project]) -> Project:
    """A project with results, and three experiments: here, in a folder, and from the queue."""
    project = with_fake_stages()
    project.tracking = True
    project.run("dvc", "exp", "run", "--quiet", "-S", "finetune.epochs=2")
    project.run("git", "checkout", "--quiet", "--force", "HEAD")
    project.run("dvc", "exp", "run", "--quiet", "--temp", "-S", "baseline.epochs=5")
    project.run("dvc", "exp", "run", "--quiet", "--queue", "-S", "baseline.epochs=1")
    project.run("dvc", "queue", "start", "--quiet", "-j", "1")
    project.wait_for_queue()
    project.repro()
    project.run("seedlings", "sync", "--all")
    return project


def test_all_revisions_has_one_parent_and_every_stage_one_child(team: Project) -> None:
    views = views_of(team)
    assert len(views) == 4
    for view in views.values():
        assert sorted(name for name, _, _ in view.children) == sorted(STAGES)
        assert view.has_model
        assert {"baseline/accuracy", "finetuned/accuracy"} <= set(view.metrics)
    epochs = sorted(
        (view.params["finetune.epochs"], view.params["baseline.epochs"]) for view in views.values()
    )
    assert epochs == [
        ("2", "2"),
        ("3", "1"),
        ("3", "2"),
        ("3", "5"),
    ]
    assert len({json.dumps(view.metrics) for view in views.values()}) == 4


def test_what_a_cache_gave_is_marked_and_names_the_run_that_made_it(team: Project) -> None:
    runs = {run.info.run_id: run for run in runs_of(team)}
    restored = [run for run in runs.values() if "seedlings.restored" in run.data.tags]
    made = [run for run in runs.values() if run.data.tags.get("seedlings.stage")]
    made = [run for run in made if run not in restored]
    assert sum(run.info.run_name == "extract" for run in made) == 1
    assert sum(run.info.run_name == "extract" for run in restored) == 3
    for run in restored:
        first = runs[run.data.tags["seedlings.first_run"]]
        assert "seedlings.restored" not in first.data.tags
        assert first.info.run_name == run.info.run_name
        assert first.data.metrics == run.data.metrics


def test_tags_say_how_to_bring_a_state_back(team: Project) -> None:
    commit = team.run("git", "rev-parse", "HEAD").strip()
    tags = [run.data.tags for run in runs_of(team) if "seedlings.lock" in run.data.tags]
    restore = {entry["seedlings.restore"] for entry in tags}
    assert f"git checkout {commit} && dvc checkout" in restore
    names = {entry["seedlings.experiment"] for entry in tags if "seedlings.experiment" in entry}
    assert len(names) == 3
    assert {f"dvc exp apply {name}" for name in names} < restore


def test_a_second_sync_adds_nothing(team: Project) -> None:
    before = {run.info.run_id for run in runs_of(team)}
    assert "0 new" in team.run("seedlings", "sync", "--all")
    assert "0 new" in team.run("seedlings", "sync")
    assert {run.info.run_id for run in runs_of(team)} == before


def test_a_lost_database_is_rebuilt_from_what_dvc_holds(team: Project) -> None:
    before = views_of(team)
    # MLflow keeps files open in a process, so that the new one has a name of its own.
    team.env["MLFLOW_TRACKING_URI"] = f"sqlite:///{team.root / 'new.db'}"
    assert "4 new" in team.run("seedlings", "sync", "--all")
    assert views_of(team, "new.db") == before
    del team.env["MLFLOW_TRACKING_URI"]


def test_all_includes_a_workspace_that_no_commit_has(
    with_fake_stages: Callable[[], Project],
) -> None:
    project = with_fake_stages()
    project.set(report__title="Not committed")
    project.repro()
    (project.root / "mlflow.db").unlink()
    assert "2 new" in project.run("seedlings", "sync", "--all")
    tags = [run.data.tags for run in runs_of(project) if "seedlings.lock" in run.data.tags]
    assert sorted(entry["seedlings.dirty"] for entry in tags) == ["false", "true"]
    project.set(report__title="Not reproduced")
    told = project.run("seedlings", "sync", "--all")
    assert "not logged: the workspace is not what dvc.lock says (report)" in told
    assert "0 new" in told


def test_an_output_names_its_runs(team: Project) -> None:
    lines = team.run("seedlings", "runs", "data/features").splitlines()
    assert [line.split()[1:3] for line in lines] == [["extract", "made"]] + [
        ["extract", "restored"]
    ] * 3
    inner = team.run("seedlings", "runs", "reports/extract/record.json")
    assert inner.splitlines() == lines
    message = team.run("seedlings", "runs", "README.md", fails=True)
    assert "expected an output of the pipeline, found 'README.md'" in message


def test_a_teammate_gets_everything_and_runs_nothing(team: Project, tmp_path: Path) -> None:
    origin, remote = tmp_path / "origin.git", str(tmp_path / "remote")
    team.run("git", "clone", "--quiet", "--bare", str(team.root), str(origin))
    team.run("git", "remote", "remove", "origin", fails=None)
    team.run("git", "remote", "add", "origin", str(origin))
    team.run("dvc", "remote", "add", "--local", "--force", "--default", "team", remote)
    team.run("seedlings", "push")
    mate = Project(tmp_path / "mate")
    team.run("git", "clone", "--quiet", str(origin), str(mate.root))
    mate.run("dvc", "remote", "add", "--local", "--default", "team", remote)
    mate.run("seedlings", "pull")
    names = mate.run("dvc", "exp", "list", "-A", "--name-only").split()
    assert len(names) == 3
    assert "4 new" in mate.run("seedlings", "sync", "--all")
    assert views_of(mate) == views_of(team)
    for name in names:
        mate.run("dvc", "exp", "apply", name)
        assert mate.ran(mate.repro()) == []
        mate.run("git", "checkout", "--quiet", "--force", "HEAD")
    assert mate.ran(mate.repro()) == []


def test_a_rebuild_in_a_clone_gives_the_same_bytes_but_where_the_lock_was_changed(
    team: Project,
) -> None:
    commits = team.run("dvc", "exp", "list", "-A", "--sha-only").split()
    locks = [yaml.safe_load(team.run("git", "show", f"{commit}:dvc.lock")) for commit in commits]
    path = team.root / "dvc.lock"
    kept = path.read_text(encoding="utf-8")
    changed = yaml.safe_load(kept)
    [model, _] = changed["stages"]["finetune"]["outs"]
    [other] = {
        out["md5"]
        for lock in locks
        for out in lock["stages"]["finetune"]["outs"]
        if out["path"] == model["path"]
    } - {model["md5"]}
    model["md5"] = other
    path.write_text(yaml.safe_dump(changed), encoding="utf-8")
    team.commit("A lock with the model of an experiment")
    told = team.run("seedlings", "verify", "--exact", fails=True)
    team.run("git", "reset", "--quiet", "--hard", "HEAD~1")
    assert path.read_text(encoding="utf-8") == kept
    assert "differs from dvc.lock, first in finetune: models/finetuned/content.txt" in told
    assert "then in" not in told
    assert "\n  and " not in told  # only the lock was changed, not the metrics
