"""What is read of experiments, in a small repository of DVC."""

import shutil
from pathlib import Path

import pytest
from project import Project
from searches import RATE, made

from seedlings.search import evaluations
from seedlings.search.evaluations import Evaluation, Score
from seedlings.tracking.revisions import Revision

PIPELINE = """stages:
  split: {cmd: python split.py, outs: [data/split.csv]}
  evaluate: {cmd: python make.py, params: [finetune, task], outs: [reports/evaluate]}
"""
# The model is right about the images up to the tenth of the learning rate: 2 of 4 at 0.2.
SCRIPT = """import json, pathlib, yaml
params = yaml.safe_load(open("params.yaml"))
right = params["finetune"]["optimizer"]["learning_rate"] * 10
folder = pathlib.Path("reports/evaluate")
folder.mkdir(parents=True)
metrics = {"finetuned/accuracy": right / 4, "finetuned/accuracy_low": 0.0,
           "finetuned/accuracy_high": 1.0, "finetuned/log_loss": 0.5}
record = {"stage": "evaluate", "metrics": metrics}
(folder / "record.json").write_text(json.dumps(record))
rows = [f"{n}.png,a,{'a' if n < right else 'b'},b" for n in range(4)]
(folder / "predictions.csv").write_text("\\n".join(["path,label,finetuned,baseline", *rows]))
"""
SPLIT = """import pathlib
path = pathlib.Path("data/split.csv")
path.parent.mkdir()
rows = [f"{name}.png,a,test,{group},x" for name, group in zip("x3210", (9, 4, 4, 7, 7))]
path.write_text("\\n".join(["path,label,split,group,digest", *rows]))
"""
NAMES = ["head-start", "head-0001"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A pipeline whose experiments are the start and one trial."""
    project = Project(tmp_path)
    for name, text in (("dvc.yaml", PIPELINE), ("make.py", SCRIPT), ("split.py", SPLIT)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("dvc", "init", "--quiet")
    project.run("dvc", "remote", "add", "--quiet", "--default", "other", str(tmp_path / "remote"))
    for number, name in enumerate(NAMES, 2):
        text = f"task: multiclass\nfinetune: {{optimizer: {{learning_rate: 0.{number}}}}}\n"
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
        project.repro()
        project.commit(name)
        project.run("git", "update-ref", f"refs/exps/ab/cdef/{name}", "HEAD")
    monkeypatch.chdir(tmp_path)
    return project


@pytest.mark.slow
def test_experiments_are_read_from_the_cache_without_its_file_system(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = Revision.get
    monkeypatch.delattr(Revision, "get")
    check(evaluations.read([*NAMES, "head-0009"]))
    commit = project.run("git", "rev-parse", "HEAD").strip()
    assert [*evaluations.read([commit])] == [commit]

    shutil.copytree(tmp_path / ".dvc" / "cache", tmp_path / "remote")
    shutil.rmtree(tmp_path / ".dvc" / "cache")
    monkeypatch.setattr(Revision, "get", get, raising=False)
    check(evaluations.read(NAMES))
    assert [*evaluations.groups(evaluations.read(NAMES)["head-start"])] == [7, 7, 4, 4]
    shutil.rmtree(tmp_path / "remote")
    shutil.rmtree(tmp_path / ".dvc" / "cache", ignore_errors=True)
    assert evaluations.read(NAMES) == {}


def check(found: dict[str, Evaluation]) -> None:
    assert [*found] == NAMES
    start, trial = found.values()
    assert [*start.predictions.index] == ["0.png", "1.png", "2.png", "3.png"]
    assert [*start.predictions["score"]] == [1, 1, 0, 0]
    assert [*trial.predictions["score"]] == [1, 1, 1, 0]
    assert trial.params[RATE] == 0.3
    assert (trial.task, trial.measure) == ("multiclass", "accuracy")
    space = made({RATE: {"range": [0.1, 0.3]}})
    assert trial.score(space) == Score(0.75, 0.0, 1.0)
    assert str(trial.score(space)) == "0.7500 (0.0000 to 1.0000)"
    loss = {"objective": "validation/log_loss", "direction": "minimize"}
    assert str(trial.score(made({RATE: {"range": [0.1, 0.3]}}, **loss))) == "0.5000 (no interval)"
