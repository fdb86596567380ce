"""The registry; what it writes in MLflow is tested in tests/pipeline/test_browser.py."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from seedlings.config import paths
from seedlings.errors import SeedlingsError
from seedlings.tracking import comparisons, registry
from seedlings.tracking.client import Tracker
from seedlings.tracking.revisions import Revision
from seedlings.tracking.tags import EXPERIMENT


@pytest.mark.parametrize("force", [False, True])
def test_a_revision_that_is_evaluated_on_validation_images_is_refused(
    force: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = Revision({}, {"evaluate": {"split": "validation"}})
    side = comparisons.Side("trial", revision, pd.DataFrame(), pd.DataFrame())
    monkeypatch.setattr(comparisons, "side", lambda name: side)
    monkeypatch.setattr(registry, "client", None)  # MLflow is not asked
    message = (
        "^trial: expected a revision with `evaluate.split: test`, found "
        "`evaluate.split: validation`, as the champion is chosen on test images; restore it, "
        ".* and promote the result$"
    )
    with pytest.raises(SeedlingsError, match=message):
        registry.promote("trial", 0.95, force=force)


@pytest.mark.parametrize(
    ("gains", "groups", "holds"),
    [
        ([1.0] * 8, 8, True),
        ([1.0] * 8, 2, False),  # two groups of four copies
        ([-1.0] * 8, 8, False),
        ([0.1] * 9 + [-1.0], 10, False),  # more images are better, but not the mean
        ([0.1] * 60 + [-1.0] * 5, 65, True),
    ],
)
def test_a_better_model_is_better_in_the_mean_and_in_groups(
    gains: list[float], groups: int, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(gains)
    paths = [f"{n}.png" for n in range(count)]
    table = pd.DataFrame({"path": paths, "label": "a", "split": "test"})
    table["digest"] = paths
    table["group"] = [n * groups // count for n in range(count)]
    predictions = pd.DataFrame({"label": "a", "finetuned": "a", "baseline": "a"}, index=paths)
    predictions["finetuned_f2"] = predictions["baseline_f2"] = 0.0
    lock = {"download": {"outs": [{"path": "data/raw", "md5": "abc"}]}}
    before, after = (
        comparisons.Side(
            name,
            Revision(lock, {"task": "multilabel", "number": name}),
            predictions.assign(score=scores),
            table,
        )
        for name, scores in (("champion", [0.0] * count), ("other", gains))
    )
    changes = comparisons.changes
    monkeypatch.setattr(comparisons, "side", lambda name: before)
    monkeypatch.setattr(Revision, "digest", property(lambda self: self.tree["number"]))
    is_better, reason = registry._reason(("3", "run"), after, 0.95)
    assert is_better == holds
    where = "" if groups == count else f" in {groups} groups"
    better = sum(gain > 0 for gain in gains)
    assert reason == (
        f"of {count} test images{where} {better} are answered better and {count - better} worse "
        f"than by version 3, and the mean score of an image changes by {sum(gains) / count:+.4g} "
        f"(p = {changes(before, after).p_value:.2g})"
    )


def test_a_model_in_mlflow_is_described_with_its_version_and_metric(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    tracker = Tracker()
    run = tracker.start("sample", tags={}, params={"evaluate.split": "test"})
    assert registry.described(run) == run
    tracker.log_metrics(run, {"finetuned/accuracy": 0.75, "images": 8.0})
    found = "accuracy 0.7500 (no interval) on 8 test images"
    assert registry.described(run) == f"{run}, {found}"
    monkeypatch.setattr(Tracker, "champion", lambda self: ("3", run))
    assert registry.described(registry.ADDRESS) == f"the champion, version 3, {found}"
    assert registry.described("models:/seedlings/2") == "models:/seedlings/2"


def test_a_version_has_the_model_card_in_whole_sections_as_its_description(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    package = tmp_path / "package"
    package.mkdir()
    (package / paths.BUNDLE).write_text(json.dumps({"task": "multiclass"}), encoding="utf-8")
    (package / "model.json").write_text("{}", encoding="utf-8")
    tracker = Tracker()
    head, sections = "---\ntags:\n- a\n---\n\n", ["# A\n\nfirst", *["## B\n\n" + "é" * 1600] * 4]
    rest = "The rest is in model_card.md, an artifact of the model."
    for count, expected in (
        (0, ""),
        (2, "\n\n".join(sections[:2])),
        (4, "\n\n".join(sections[:4])),
        (5, "\n\n".join([*sections[:4], rest])),
    ):
        card = tmp_path / "model_card.md"
        card.unlink(missing_ok=True)
        if count:
            card.write_text(head + "\n\n".join(sections[:count]) + "\n", encoding="utf-8")
        run_id = tracker.start("run", tags={}, params={})
        tracker.log_package(run_id, package, card)
        run = tracker.get_run(run_id)
        description = registry._description(tracker.card(run))
        version = tracker.promote(run, {}, description)
        found = tracker.get_model_version(EXPERIMENT, version).description
        assert found == expected
        assert len(found) <= 5000
        whole = card.read_text(encoding="utf-8") if count else ""
        assert registry.card_of(registry.ADDRESS) == registry.card_of(run_id) == whole
    assert registry.card_of(tracker.start("without a model", tags={}, params={})) == ""
