import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from dvc.repo import Repo

from seedlings.cli import results
from seedlings.errors import SeedlingsError
from seedlings.tracking import comparisons, git, split_changes
from seedlings.tracking.comparisons import Side
from seedlings.tracking.revisions import Revision

AUTHOR = ("-c", "user.name=Test", "-c", "user.email=t@example.org")
LABELS = ["a", "a", "b", "b"]


def make(
    name: str,
    answers: list[str],
    task: str = "multiclass",
    images: str = "abc",
    on: str = "test",
) -> Side:
    table = pd.DataFrame({"label": LABELS, "finetuned": answers, "baseline": LABELS[::-1]})
    table["score"] = (table["label"] == table["finetuned"]).astype(float)
    table.index = pd.Index([f"{n}.png" for n in range(len(table))], name="path")
    tree = {"task": task, "seed": 1, "evaluate": {"split": on}}
    lock = {"download": {"outs": [{"path": "data/raw", "md5": images}]}}
    split = pd.DataFrame(
        {
            "path": table.index,
            "label": LABELS,
            "split": "test",
            "group": range(4),
            "digest": list("0123"),
        }
    )
    return Side(name, Revision(lock, tree), table, split)


@pytest.mark.slow
def test_parameters_and_metrics_that_differ_are_those_of_dvc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git.run("init", "--quiet")
    Repo.init().close()
    Path("dvc.yaml").write_text("metrics: [metrics.json]\n", encoding="utf-8")
    sides = []
    for name, epochs, accuracy in (("one", 3, 0.5), ("two", 5, 0.75), ("again", 5, 0.75)):
        Path("params.yaml").write_text(f"seed: 1\nfinetune: {{epochs: {epochs}}}\n", "utf-8")
        metrics = {"finetuned": {"accuracy": accuracy}, "images": 4}
        Path("metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        git.run("add", "--all")
        git.run(*AUTHOR, "commit", "--quiet", "--allow-empty", "--message", name)
        commit = git.run("rev-parse", "HEAD")
        sides.append(replace(make(name, list("aabb")), revision=Revision({}, {}, commit)))
    one, two, again = sides
    found = comparisons.differing(one, two)
    assert found == {
        "Parameters": {"finetune.epochs": {"old": 3, "new": 5, "diff": 2}},
        "Metrics": {"finetuned.accuracy": {"old": 0.5, "new": 0.75, "diff": 0.25}},
    }
    workspace = replace(one, revision=Revision({}, {}))
    assert comparisons.differing(one, workspace) == found
    assert comparisons.differing(two, again) == {"Parameters": {}, "Metrics": {}}


def test_images_go_from_wrong_to_right_and_back() -> None:
    before, after = make("one", list("abba")), make("two", list("bbbb"))
    found = comparisons.changes(before, after)
    assert [(c.path, c.before, c.after) for c in found.better] == [("3.png", "a", "b")]
    assert [(c.path, c.before, c.after) for c in found.worse] == [("0.png", "a", "b")]
    assert (found.common, found.p_value) == (4, 1.0)


def test_images_of_one_group_on_either_side_are_one_observation() -> None:
    """The first side joins 0 and 1, the other 1 and 2, so that four images are two groups."""
    before, after = make("one", list("bbaa")), make("two", list("aabb"))
    alone = comparisons.changes(before, after)
    assert (alone.groups, alone.gain, alone.is_better) == (4, 1.0, True)
    assert alone.p_value == pytest.approx(2 / 2**4)
    joined = replace(before, table=before.table.assign(group=[5, 5, 2, 3]))
    other = replace(after, table=after.table.assign(group=[0, 4, 4, 3]))
    found = comparisons.changes(joined, other)
    assert (found.groups, found.common, found.p_value) == (2, 4, pytest.approx(2 / 2**2))
    assert "Of these 4 in 2 groups, one → two: 4 better" in "\n".join(
        results._changes("one", found)
    )
    assert comparisons.changes(other, joined).groups == 2
    assert not comparisons.changes(other, joined).is_better
    assert comparisons.changes(joined, after).groups == 3


def test_only_images_of_both_tests_count() -> None:
    before, after = make("one", list("bbbb")), make("two", list("aabb"))
    shorter = replace(after, predictions=after.predictions.iloc[1:])
    found = comparisons.changes(before, shorter)
    assert (found.counts, found.common) == (["4 test images", "3 test images"], 3)
    assert [change.path for change in found.better] == ["1.png"]
    assert found.scores == {
        "finetuned accuracy": ["0.6667", "1.0000"],  # b, b of a, b, b, and all three
        "baseline accuracy": ["0.0000", "0.0000"],
    }
    nothing = comparisons.changes(before, replace(after, predictions=after.predictions.iloc[:0]))
    assert (nothing.common, nothing.scores, nothing.p_value) == (0, {}, 1.0)


def test_the_page_and_the_command_name_the_evaluated_split_of_each_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparisons, "_pictures", lambda revision, names: dict.fromkeys(names, ""))
    before = make("one", list("bbbb"), on="validation")
    after = make("two", list("bbbb"), on="test")
    shorter = replace(after, predictions=after.predictions.iloc[1:])
    found = comparisons.changes(before, shorter)
    line, *_ = results._changes("one", found)
    assert line == "\nEvaluated: 4 validation images in one, 3 test images in two, 3 in both"
    row = {"finetuned.accuracy": {"old": 0.5, "new": 1 / 3, "diff": -1 / 6}}
    tables = {"Parameters": {}, "Metrics": row}
    comparisons.write([before, shorter], [(tables, found)], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<td>finetuned.accuracy</td><td>0.5</td><td>0.33333</td>" in text
    assert "one has 4 validation images, two has 3 test images;\n3 are in both" in text


def test_images_whose_label_was_corrected_are_left_out() -> None:
    before, after = make("one", list("bbbb")), make("two", list("bbaa"))
    corrected = after.predictions.assign(label=list("babb"))
    corrected["score"] = (corrected["label"] == corrected["finetuned"]).astype(float)
    original = after.table["label"]
    table = after.table.assign(label=[*"bab", ""], original=original)
    other = replace(after, predictions=corrected.iloc[:3], table=table)
    found = comparisons.changes(before, other)
    assert (found.common, found.relabelled, found.same_images) == (2, 1, False)
    assert found.scores["finetuned accuracy"] == ["0.5000", "0.0000"]  # of 1 and 2
    assert [change.path for change in found.worse] == ["2.png"]
    assert found.images == "1 relabelled, 1 dropped"
    assert comparisons.changes(other, before).images == "1 relabelled, 1 used again"
    assert found.split_changes == []
    assert "  without 1 in both whose labels differ" in results._changes("one", found)


def test_a_renamed_test_image_is_the_same_image() -> None:
    before, after = make("one", list("bbbb")), make("two", list("aabb"))
    paths = ["new.png", *before.predictions.index[1:]]
    renamed = replace(
        after,
        predictions=after.predictions.set_axis(paths),
        table=after.table.assign(path=paths),
    )
    found = comparisons.changes(before, renamed)
    assert found.common == 4
    assert [change.path for change in found.better] == ["0.png", "1.png"]
    joined = replace(before, table=before.table.assign(group=[0, 1, 1, 3]))
    grouped = replace(renamed, table=renamed.table.assign(group=[1, 1, 2, 2]))
    assert comparisons.changes(joined, grouped).groups == 1
    others = replace(renamed, table=renamed.table.assign(digest=list("9123")))
    assert comparisons.changes(before, others).common == 3


def test_changed_splits_are_named_with_their_cause() -> None:
    before, after = make("one", list("aabb")), make("two", list("aabb"))
    joined = after.table.assign(group=[0, 0, 2, 3], split=["train", "train", "test", "test"])
    found = comparisons.changes(before, replace(after, table=joined))
    assert [str(change) for change in found.split_changes] == [
        "0.png: test → train, its group changed",
        "1.png: test → train, its group changed",
    ]
    reseeded = Revision(after.revision.lock, after.revision.tree | {"seed": 2})
    other = replace(after, table=joined, revision=reseeded)
    assert {change.cause for change in comparisons.changes(before, other).split_changes} == {
        split_changes.OTHER
    }


def test_the_same_images_are_the_same_files_with_the_same_labels() -> None:
    before, after = make("one", list("aabb")), make("two", list("bbbb"))
    assert comparisons.changes(before, after).same_images
    others = make("three", list("bbbb"), images="def")
    assert not comparisons.changes(before, others).same_images
    after.predictions.loc["0.png", "label"] = "b"
    assert not comparisons.changes(before, after).same_images
    tags = make("four", list("aabb"), task="multilabel")
    with pytest.raises(SeedlingsError, match=r"of one task, found multiclass \(one\) and multil"):
        comparisons.changes(before, tags)


def test_a_name_of_nothing_is_an_error(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SeedlingsError, match="run in MLflow or `workspace`, found 'nothing'"):
        comparisons.side("nothing")
