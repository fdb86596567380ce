import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from seedlings.data import corrections
from seedlings.errors import SeedlingsError
from seedlings.io.parts import digest
from seedlings.review.decisions import DecisionFile
from seedlings.review.queue import Item
from seedlings.tasks import TASKS

HEADER = "digest,path,old,new,by,when,note\n"
Opened = Callable[..., DecisionFile]


def item(number: int, label: str = "cat", originals: tuple[str, ...] = ()) -> Item:
    path = f"{number}.png"
    return Item(
        digest=digest(str(number).encode()),
        path=path,
        label=label,
        split="train",
        row=number,
        labels=[(path, label)],
        originals=[*originals] or [label],
        doubts=[],
    )


def decision_file(folder: Path, by: str = "Ann", task: str = "multiclass") -> DecisionFile:
    """The file in a folder, whose decisions are made at 0, 1, 2, and so on."""
    times = count()
    return DecisionFile(
        folder / "corrections.csv",
        TASKS[task],
        by=by,
        lock=folder / ".tmp" / "lock",
        now=lambda: str(next(times)),
    )


def saved(folder: Path) -> list[str]:
    """The lines of the file: path, old, new."""
    text = (folder / "corrections.csv").read_text(encoding="utf-8")
    assert text.startswith(HEADER)
    return [",".join(line.split(",")[1:4]) for line in text.splitlines()[1:]]


def test_each_decision_is_saved_at_once_with_its_person_and_time(tmp_path: Path) -> None:
    file = decision_file(tmp_path)
    file.decide(item(1), "dog")
    file.decide(item(2), corrections.DROP)
    file.decide(item(3), "cat")
    found = corrections.read(tmp_path / "corrections.csv", TASKS["multiclass"]).values()
    assert {(one.path, one.old, one.new, one.by, one.when) for one in found} == {
        ("1.png", "cat", "dog", "Ann", "0"),
        ("2.png", "cat", "drop", "Ann", "1"),
        ("3.png", "cat", "cat", "Ann", "2"),
    }
    assert [one.digest for one in found] == sorted(one.digest for one in found)
    assert not [*tmp_path.glob(".*.partial")]


def test_a_new_decision_replaces_the_one_before_and_undo_brings_it_back(tmp_path: Path) -> None:
    file = decision_file(tmp_path)
    file.decide(item(1), "dog")
    file.decide(item(1), "drop")
    assert saved(tmp_path) == ["1.png,cat,drop"]
    assert file.last == "1.png: cat → drop"
    assert file.undo() == item(1).digest
    assert saved(tmp_path) == ["1.png,cat,dog"]
    assert file.undo() == item(1).digest
    assert saved(tmp_path) == []
    assert file.undo() is None
    assert not file.last


def test_a_decision_is_removed_and_that_is_undone(tmp_path: Path) -> None:
    decision_file(tmp_path).decide(item(1), "dog")
    file = decision_file(tmp_path)  # opened again
    assert file.undo() is None
    file.remove(item(1))
    assert saved(tmp_path) == []
    assert file.last == "1.png: no decision"
    file.undo()
    assert saved(tmp_path) == ["1.png,cat,dog"]


def test_files_with_one_content_and_several_labels_have_a_line_for_each(tmp_path: Path) -> None:
    decision_file(tmp_path).decide(item(1, "cat", ("cat", "dog")), "cat")
    assert saved(tmp_path) == ["1.png,cat,cat", "1.png,dog,cat"]
    corrections.read(tmp_path / "corrections.csv", TASKS["multiclass"])  # no conflict


def test_what_others_have_written_is_kept_and_their_decision_is_not_undone(tmp_path: Path) -> None:
    ann, bob = decision_file(tmp_path, "Ann"), decision_file(tmp_path, "Bob")
    ann.decide(item(1), "dog")
    bob.decide(item(2), "dog")
    bob.decide(item(1), "drop")
    with pytest.raises(SeedlingsError, match=r"last decision about 1\.png, found another"):
        ann.undo()
    assert sorted(saved(tmp_path)) == ["1.png,cat,drop", "2.png,cat,dog"]


@pytest.mark.parametrize(
    ("task", "label", "message"),
    [
        ("regression", "many", "expected a number such as -1.5 or 2e-3, found 'many'"),
        ("regression", "", "expected a number such as"),
        ("multiclass", " ", "has no label"),
    ],
)
def test_what_is_no_label_is_refused_and_nothing_is_saved(
    task: str, label: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        decision_file(tmp_path, task=task).decide(item(1, "1.5"), label)
    assert not (tmp_path / "corrections.csv").exists()


def test_a_damaged_file_is_named_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(f"{HEADER}abc,1.png,cat,dog\n", encoding="utf-8")
    file = decision_file(tmp_path)
    with pytest.raises(SeedlingsError, match="line 2: expected 7 cells, found 4"):
        file.decide(item(1), "dog")
    assert path.read_text(encoding="utf-8") == f"{HEADER}abc,1.png,cat,dog\n"


def git(folder: Path, *arguments: str) -> None:
    author = ("-c", "user.name=Test", "-c", "user.email=t@example.org")
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


def test_random_decisions_of_two_people_are_merged_by_git_and_none_is_lost(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    (tmp_path / ".gitattributes").write_text("corrections.csv merge=union\n", encoding="utf-8")
    (tmp_path / ".gitignore").write_text(".tmp\n", encoding="utf-8")
    (tmp_path / "corrections.csv").write_text(HEADER, encoding="utf-8")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "None")
    images = rng.permutation(200)
    shares = {"Ann": images[:80], "Bob": images[80:160]}
    expected = set()
    for by, numbers in shares.items():
        git(tmp_path, "checkout", "--quiet", "-b", by, "main")
        file = decision_file(tmp_path, by)
        for number in numbers.tolist():
            file.decide(item(number), str(rng.choice(["cat", "dog", "drop"])))
            if rng.random() < 0.2:
                file.undo()
                continue
            expected.add(file.last)
        git(tmp_path, "commit", "--quiet", "--all", "--message", by)
    git(tmp_path, "merge", "--quiet", "Ann")
    file = decision_file(tmp_path)
    lines = [one for found in file.read().values() for one in found]
    assert {f"{one.path}: {one.old} → {one.new}" for one in lines} == expected
    assert len(expected) > 100


def test_two_decisions_about_one_image_are_named_after_the_merge(tmp_path: Path) -> None:
    for by, new in (("Ann", "dog"), ("Bob", "drop")):
        (tmp_path / by).mkdir()
        decision_file(tmp_path / by, by).decide(item(1), new)
    lines = [
        (tmp_path / by / "corrections.csv").read_text().splitlines()[1] for by in ("Ann", "Bob")
    ]
    (tmp_path / "corrections.csv").write_text("\n".join([HEADER.strip(), *lines, ""]))
    with pytest.raises(
        SeedlingsError, match=r"by Ann: 1\.png, cat → dog\n.*by Bob: 1\.png, cat → drop"
    ):
        decision_file(tmp_path).read()
