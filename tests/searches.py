"""Search spaces, trials and experiments for tests."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from imports import ROOT
from optuna.trial import FrozenTrial, TrialState, create_trial

from seedlings.config import params, paths, yaml_files
from seedlings.search import space, trials
from seedlings.search.space import Entry, Space
from seedlings.search.trials import Params
from seedlings.tracking import git
from seedlings.tracking.revisions import Revision

TREE = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
OPTIMIZER = "finetune.optimizer.name"
RATE = "finetune.optimizer.learning_rate"
IDENTITY = {
    **{f"GIT_{who}_NAME": "Test" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "t@example.org" for who in ("AUTHOR", "COMMITTER")},
}


def made(parameters: dict[str, Any], **others: Any) -> Space:
    values = {"objective": "validation/accuracy", "direction": "maximize", "parameters": parameters}
    return space.check(values | others, TREE, "space.yaml")


HEAD = {  # eight parameters, as in spaces/head.yaml
    OPTIMIZER: {"choices": ["adam", "adamw", "sgd"]},
    RATE: {"range": [1e-4, 1e-1], "log": True},
    "finetune.optimizer.weight_decay": {
        "range": [1e-5, 1e-1],
        "log": True,
        "when": {OPTIMIZER: "adamw"},
    },
    "finetune.regularization.kernel.l2": {"range": [1e-4, 1e-1], "log": True},
    "finetune.head.dense": {"choices": [[], [64], [256]]},
    "finetune.head.dropout": {"range": [0.0, 0.7], "step": 0.1},
    "finetune.label_smoothing": {"range": [0.0, 0.2], "step": 0.05},
    "finetune.batch_size": {"choices": [16, 32, 64]},
}


def trial(
    space: Space,
    number: int,
    params: Params,
    value: float | None = None,
    *,
    state: TrialState = TrialState.COMPLETE,
    curve: Sequence[float] = (),
    **attributes: Any,
) -> FrozenTrial:
    """A trial as a study has it, with the number in its name."""
    if value is not None:
        metrics = {space.metric: value}
        metrics |= {f"{space.metric}_low": value - 0.1, f"{space.metric}_high": value + 0.1}
        attributes = {"metrics": metrics, "experiment": f"commit{number}"} | attributes
    found = create_trial(
        state=state,
        value=value,
        params=params,
        distributions=space.trial(params).distributions,
        intermediate_values=dict(enumerate(curve, 1)),
        user_attrs=attributes,
    )
    found.number = number - 1
    return found


@dataclass
class Known:
    """What the result and the run log of a search need of its study."""

    space: Space
    trials: list[FrozenTrial] = field(default_factory=list)
    name: str = "head"
    commit: str = "c" * 40
    tested: list[int] = field(default_factory=list)

    @property
    def best(self) -> FrozenTrial | None:
        return next(iter(trials.best_first(self.trials, maximize=self.space.maximizes)), None)


def invented(space: Space, count: int) -> list[FrozenTrial]:
    """Trials with random parameters and values; every sixth is pruned, and the eighth fails."""
    rng = np.random.default_rng(5)
    found = []
    for number in range(1, count + 1):
        params = space.active({k: _drawn(entry, rng) for k, entry in space.parameters.items()})
        value = round(0.7 + 0.2 * float(rng.beta(4.0, 1.5)), 4)
        curve = [value * (1 - 0.6**epoch) for epoch in range(1, 13)]
        if number == 8:
            found.append(failed(space, number, params, "no memory <left> & more"))
        elif number % 6 == 0:
            found.append(pruned(space, number, params, curve[:4]))
        else:
            found.append(trial(space, number, params, value, curve=curve))
    return found


def pruned(space: Space, number: int, params: Params, curve: Sequence[float]) -> FrozenTrial:
    """A trial that the pruner stopped after some epochs."""
    return trial(space, number, params, state=TrialState.PRUNED, curve=curve)


def failed(space: Space, number: int, params: Params, reason: str) -> FrozenTrial:
    return trial(space, number, params, state=TrialState.FAIL, reason=reason)


def running(space: Space, number: int, params: Params) -> FrozenTrial:
    return trial(space, number, params, state=TrialState.RUNNING)


def _drawn(entry: Entry, rng: np.random.Generator) -> Any:
    points = entry.points
    if points is not None:
        return points[rng.integers(len(points))]
    return float(np.exp(rng.uniform(*np.log(entry.ends))))


def repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a Git repository with the parameters and the pipeline, and enter it; its commit.

    Experiments have their records in Git here, and not in DVC's cache.
    """
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, folder / name)
    monkeypatch.chdir(folder)
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Revision, "get", _get)
    git.run("init", "--quiet", "--initial-branch", "main")
    git.run("add", "--all")
    git.run("commit", "--quiet", "--message", "A project")
    return git.run("rev-parse", "HEAD")


def records(value: float, curve: Sequence[float]) -> dict[str, str]:
    """The files with the records of an experiment, by their paths."""
    metrics = {"finetuned/accuracy": value}
    metrics |= {"finetuned/accuracy_low": value - 0.1, "finetuned/accuracy_high": value + 0.1}
    trained = {"params": {"task": "multiclass"}, "curves": {"val_accuracy": [*curve]}}
    return {
        paths.record("evaluate").as_posix(): json.dumps({"stage": "evaluate", "metrics": metrics}),
        paths.record("finetune").as_posix(): json.dumps({"stage": "finetune", **trained}),
        paths.record("split").as_posix(): json.dumps({"stage": "split", "metrics": {"train": 100}}),
    }


def _stages(values: Mapping[str, Any]) -> dict[str, Any]:
    """The stages in the dvc.lock of an experiment."""
    made = {"download": paths.RAW, "split": paths.SPLIT}
    outs = {name: [{"path": path.as_posix(), "md5": name}] for name, path in made.items()}
    return {
        "evaluate": {"cmd": "x", "params": {**values}},
        **{name: {"cmd": "x", "outs": found} for name, found in outs.items()},
    }


def experiment(
    name: str,
    values: Mapping[str, Any],
    value: float,
    *,
    curve: Sequence[float] = (0.1, 0.2),
    on: str = "validation",
) -> str:
    """Add an experiment with these parameters and records, as DVC does; its commit."""
    tree = params.changed(TREE, {**values, "evaluate.split": on})
    files = {
        "params.yaml": yaml.safe_dump(tree),
        "dvc.lock": yaml.safe_dump({"stages": _stages(values)}),
        **records(value, curve),
    }
    git.run("read-tree", "HEAD")
    blobs = {path: git.run("hash-object", "-w", "--stdin", text=t) for path, t in files.items()}
    listed = "".join(f"100644 {blob}\t{path}\n" for path, blob in blobs.items())
    git.run("update-index", "--index-info", text=listed)
    commit = git.run("commit-tree", git.run("write-tree"), "-p", "HEAD", "-m", f"exp {name}")
    git.run("read-tree", "HEAD")
    start = git.run("rev-parse", "HEAD")
    git.run("update-ref", f"refs/exps/{start[:2]}/{start[2:]}/{name}", commit)
    return commit


def remove(name: str) -> None:
    """Remove an experiment, as `dvc exp remove` does."""
    refs = git.run("for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    [ref] = [ref for ref in refs if ref.endswith(f"/{name}")]
    git.run("update-ref", "-d", ref)


def experiments() -> dict[str, dict[str, Any]]:
    """The parameters of each experiment, by its name."""
    found = {one.name: one.commit for one in git.experiments()}
    return {n: yaml_files.parse(git.run("show", f"{found[n]}:params.yaml")) for n in sorted(found)}


def _get(revision: Revision, wanted: Sequence[Path], target: Path) -> None:
    for path in wanted:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(git.run("show", f"{revision.commit}:{path.as_posix()}"))
