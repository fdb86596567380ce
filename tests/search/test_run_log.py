"""The run of a search in MLflow."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from searches import OPTIMIZER, Known, failed, made, pruned, running, trial

from seedlings.errors import SeedlingsError
from seedlings.search.run_log import RunLog
from seedlings.search.study import Study
from seedlings.tracking import linked_runs
from seedlings.tracking.client import Run, Tracker
from seedlings.tracking.tags import BASELINE, PARENT, SEARCH, TRIAL

SGD, ADAM = {OPTIMIZER: "sgd"}, {OPTIMIZER: "adam"}


SPACE = made({OPTIMIZER: {"choices": ["sgd", "adam"]}})


@dataclass
class Revision:
    name: str
    baseline: str

    @property
    def digest(self) -> str:
        return f"lock of {self.name} of {self.baseline}"


@pytest.fixture
def study(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Known:
    """Trials in a folder with an MLflow database, whose experiments are logged without DVC."""
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)

    def publish(revisions: list[Revision], *, models: bool) -> tuple[int, list[str]]:
        tracker, revision = Tracker(), revisions[0]
        if not tracker.runs({"seedlings.lock": revision.digest}):
            tracker.start(revision.name, tags={"seedlings.lock": revision.digest}, params={})
        return 1, []

    monkeypatch.setattr(linked_runs.revisions, "at", Revision)
    monkeypatch.setattr(linked_runs.sync, "publish", publish)
    return Known(SPACE)


def logged(study: Known) -> RunLog:
    return RunLog(cast(Study, study))


def by_name() -> dict[str, Run]:
    return {run.info.run_name: run for run in Tracker().runs({})}


@pytest.mark.slow
def test_trials_are_linked_to_their_search(study: Known) -> None:
    log = logged(study)
    for each in (
        trial(SPACE, 1, SGD, 0.7),
        trial(SPACE, 2, ADAM, 0.6),
        pruned(SPACE, 3, ADAM, [0.1, 0.2]),
        failed(SPACE, 4, SGD, "no memory"),
    ):
        study.trials.append(each)
        log.log(each)
    log.complete(["head-start", "head-best"])
    runs = by_name()
    assert sorted(runs) == [
        *("head", "head-0001", "head-0002", "head-0003", "head-0004", "head-best", "head-start")
    ]
    search = runs.pop("head")
    assert (search.info.status, search.data.metrics) == ("FINISHED", {"value": 0.6, "best": 0.7})
    assert search.data.params[f"parameters.{OPTIMIZER}.choices"] == "['sgd', 'adam']"
    assert all(
        run.data.tags[SEARCH] == "head" and run.data.tags[TRIAL] == name
        for name, run in runs.items()
    )
    assert PARENT not in runs["head-0001"].data.tags
    stopped, broken = runs["head-0003"], runs["head-0004"]
    assert (stopped.info.status, stopped.data.metrics, stopped.data.params) == (
        "KILLED",
        {"value": 0.2},
        ADAM,
    )
    assert (broken.info.status, broken.data.tags["seedlings.reason"]) == ("FAILED", "no memory")
    assert stopped.data.tags[PARENT] == broken.data.tags[PARENT] == search.info.run_id


def test_nothing_is_logged_twice(study: Known) -> None:
    study.trials = [
        trial(SPACE, 1, SGD, 0.7),
        pruned(SPACE, 2, ADAM, [0.1]),
        running(SPACE, 3, SGD),
    ]
    logged(study).log(study.trials[0])
    before = by_name()
    logged(study).complete(["head-start"])  # another process goes on
    logged(study).complete(["head-start"])
    assert len(Tracker().runs({})) == 4
    assert by_name()["head"].info.run_id == before["head"].info.run_id
    assert "head-0003" not in by_name()  # it still runs


def test_searches_of_two_commits_with_one_name_have_their_own_runs(study: Known) -> None:
    study.trials = [trial(SPACE, 1, SGD, 0.7), pruned(SPACE, 2, ADAM, [0.1])]
    others = [trial(SPACE, 1, SGD, 0.6), running(SPACE, 2, ADAM)]
    other = Known(SPACE, others, commit="d" * 40)
    logged(study).complete(["head-start"])
    logged(other).complete(["head-start"])
    found = [
        (run.info.run_name, run.data.tags[BASELINE][0], run.data.metrics)
        for run in Tracker().runs({})
    ]
    assert [run for run in found if run[0] == "head"] == [
        ("head", "c", {"value": 0.7, "best": 0.7}),
        ("head", "d", {"value": 0.6, "best": 0.6}),
    ]
    assert sorted(run[:2] for run in found if run[0] != "head") == [
        *(("head-0001", "c"), ("head-0001", "d"), ("head-0002", "c")),
        *(("head-start", "c"), ("head-start", "d")),
    ]


def test_a_failure_of_mlflow_is_one_warning(
    study: Known, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> Callable[..., Any]:
        raise SeedlingsError("MLflow at x cannot be reached")

    monkeypatch.setattr(linked_runs.client, "Tracker", fail)
    log = logged(study)
    for number in (1, 2):
        log.log(trial(SPACE, number, SGD, 0.7))
    log.complete([])
    printed = capfd.readouterr().err
    assert printed.count("warning: MLflow at x cannot be reached") == 1
    assert "The command continues" in printed
