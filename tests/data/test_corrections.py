import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seedlings.data import corrections
from seedlings.data.corrections import Applied, Decision
from seedlings.errors import SeedlingsError
from seedlings.io import split_table
from seedlings.io.parts import digest
from seedlings.tasks import TASKS

HEADER = "digest,path,old,new,by,when,note\n"
LABELS = {  # of twelve images, four in each split
    "multiclass": ["cat", "dog"] * 6,
    "binary": ["cat", "dog"] * 6,
    "multilabel": ["sea", "sea sky"] * 6,
    "regression": ["0.5", "-1"] * 6,
}


def named(number: int) -> str:
    return digest(str(number).encode())


def split(labels: Sequence[str] = LABELS["multiclass"]) -> pd.DataFrame:
    numbers = range(len(labels))
    return pd.DataFrame(
        {
            "path": [f"{n}.png" for n in numbers],
            "label": labels,
            "split": [split_table.SPLITS[n // 2 % 3] for n in numbers],
            "group": numbers,
            "digest": [named(n) for n in numbers],
        }
    )


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """The file with some lines: the number of the image, old and new label."""

    def make(*lines: tuple[int, str, str], by: str = "Ann") -> Path:
        path = tmp_path / "corrections.csv"
        text = [f"{named(n)},{n}.png,{old},{new},{by},2026-01-02,\n" for n, old, new in lines]
        path.write_text(HEADER + "".join(text), encoding="utf-8")
        return path

    return make


def applied(path: Path, table: pd.DataFrame, task: str = "multiclass") -> Applied:
    kind = TASKS[task]
    return corrections.apply(table, corrections.read(path, kind), kind, path)


@pytest.mark.parametrize(
    ("task", "old", "new", "same"),
    [
        ("multiclass", "cat", "dog", "cat"),
        ("binary", "cat", "dog", "cat"),
        ("multilabel", "sea", "sea sky", "sea"),
        ("multilabel", "sky sea", "sky", "sea sky"),  # the order of tags is no difference
        ("regression", "0.50", "-1", "5e-1"),
    ],
)
def test_a_label_is_corrected_dropped_or_confirmed(
    task: str, old: str, new: str, same: str, file: Callable[..., Path]
) -> None:
    table = split([*LABELS[task]])
    first = 1 if old == "sky sea" else 0
    lines = [(first, old, new), (first + 2, old, "drop"), (first + 4, same, old)]
    found = applied(file(*lines), table, task)
    kept = table["label"].tolist()
    kept[first], kept[first + 2] = new, ""
    if task == "regression":
        kept[first] = "-1.0"
    assert found.table["label"].tolist() == kept
    assert found.table["original"].tolist() == table["label"].tolist()
    pd.testing.assert_frame_equal(
        found.table[["path", "split", "group"]], table[["path", "split", "group"]]
    )
    assert found.dropped == [f"{first + 2}.png"]
    assert set(found.decided["digest"]) == {named(first), named(first + 4)}
    assert (found.refused, found.counts) == (
        [],
        {"corrected": 1, "dropped": 1, "confirmed": 1, "corrections_not_applied": 0},
    )


def test_without_a_line_every_label_stays(file: Callable[..., Path], tmp_path: Path) -> None:
    found = applied(file(), split())
    split_table.write(found.table, tmp_path / "new.csv")
    split_table.write(split(), tmp_path / "old.csv")
    assert (tmp_path / "new.csv").read_bytes() == (tmp_path / "old.csv").read_bytes()
    assert not any(found.counts.values())
    assert len(found.decided) == 0


def test_a_correction_survives_a_renamed_file(file: Callable[..., Path]) -> None:
    table = split().assign(path=[f"other/{n}.jpg" for n in range(12)])
    found = applied(file((0, "cat", "dog")), table)
    assert found.table["label"].tolist()[:3] == ["dog", "dog", "cat"]
    assert found.refused == []


def test_a_line_that_fits_no_image_is_named_and_not_applied(file: Callable[..., Path]) -> None:
    path = file((0, "bird", "dog"), (99, "cat", "dog"), (1, "cat", "dog"), (2, "cat", "dog"))
    found = applied(path, split())
    assert found.refused == [
        f"{path}, line 2: 0.png has the label 'cat', and the line is for another (bird → dog)",
        f"{path}, line 3: no image has the digest {named(99)} (99.png, cat → dog)",
        f"{path}, line 4: 1.png has the new label already (cat → dog); the line can be removed",
    ]
    assert found.table["label"].tolist() == ["cat", "dog", "dog", "dog", *["cat", "dog"] * 4]
    assert found.counts["corrections_not_applied"] == 3


def test_files_with_one_content_are_corrected_together(file: Callable[..., Path]) -> None:
    table = split()
    table["digest"] = [named(0)] * 3 + table["digest"].tolist()[3:]  # cat, dog, cat
    found = applied(file((0, "cat", "dog"), (0, "dog", "dog")), table)
    assert found.table["label"].tolist()[:3] == ["dog", "dog", "dog"]
    assert found.counts == {
        "corrected": 2,
        "dropped": 0,
        "confirmed": 1,
        "corrections_not_applied": 0,
    }


@pytest.mark.parametrize(
    ("task", "line", "problem"),
    [
        ("multiclass", "1,2,3", "expected 7 cells, found 3, the first '1'"),
        ("multiclass", "<<<<<<< HEAD", "expected 7 cells, found 1, the first '<<<<<<< HEAD'"),
        ("multiclass", "12,a.png,cat,dog,,,", "expected the digest of the image file, 32 letters"),
        ("multiclass", f"{named(1)},a.png,,dog,,,", "old has no label"),
        ("multiclass", f"{named(1)},a.png,cat,,,,", "new has no label"),
        ("regression", f"{named(1)},a.png,1,much,,,", "new expected a number such as .* 'much'"),
        ("multiclass", f'{named(1)},a.png,cat,"d\nog",,,', "holds a control character"),
    ],
)
def test_every_bad_line_is_named(
    task: str, line: str, problem: str, file: Callable[..., Path]
) -> None:
    path = file((0, "1", "2"))
    path.write_text(path.read_text("utf-8") + line + "\n\nx,y\n", encoding="utf-8")
    with pytest.raises(
        SeedlingsError, match=rf"(?s)line 3: .*{problem}.*line \d: .*found 2, .*'x'"
    ):
        corrections.read(path, TASKS[task])


def test_another_header_or_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    with pytest.raises(SeedlingsError, match="found none; without decisions it has one line: dig"):
        corrections.read(path, TASKS["multiclass"])
    path.write_text("path,label\na.png,cat\n", encoding="utf-8")
    with pytest.raises(SeedlingsError, match=r"line 1: expected the columns digest,.*found path,l"):
        corrections.read(path, TASKS["multiclass"])
    path.write_text("", encoding="utf-8")
    with pytest.raises(SeedlingsError, match="expected the columns digest,.*found none"):
        corrections.read(path, TASKS["multiclass"])
    path.write_bytes(HEADER.encode() + "Möhre".encode("cp1252"))
    with pytest.raises(SeedlingsError, match="line 2: expected text in utf-8, .* in UTF-8$"):
        corrections.read(path, TASKS["multiclass"])
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(SeedlingsError, match="found a workbook"):
        corrections.read(path, TASKS["multiclass"])


def test_what_a_spreadsheet_saves_is_read(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    line = f"{named(1)};a.png;cat;dog;Ann;;\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + f"{HEADER.replace(',', ';').strip()}\r\n{line}".encode())
    expected = Decision(named(1), "a.png", "cat", "dog", "Ann")
    assert corrections.read(path, TASKS["multiclass"]) == {2: expected}


def test_two_decisions_on_one_image_are_named_with_both_lines(file: Callable[..., Path]) -> None:
    path = file((0, "cat", "dog"), (1, "dog", "dog"), (0, "cat", "drop"), (1, "dog", "dog"))
    with pytest.raises(SeedlingsError) as caught:
        corrections.read(path, TASKS["multiclass"])
    assert str(caught.value).splitlines()[1:-1] == [
        "  line 2 by Ann: 0.png, cat → dog",
        "  line 4 by Ann: 0.png, cat → drop",
    ]
    same = file((0, "1", "0.5"), (0, "1", ".50"))
    assert len(corrections.read(same, TASKS["regression"])) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([(0, "cat", "dig")], r"line 2: 'dig' is no label .*none in validation, test; did you mea"),
        ([(0, "cat", "Dog")], r"'Dog' \(line 2\) and 'dog' \(in the data\); write one name in all"),
        ([(n, "cat", "dog") for n in range(0, 12, 2)], "at least two classes, found dog"),
        ([(0, "cat", "drop"), (6, "cat", "dog")], "training images of every class, found none of "),
        (
            [(n, "cat", "drop") for n in (2, 8)] + [(n, "dog", "drop") for n in (3, 9)],
            "expected images in validation, found all of them dropped",
        ),
    ],
)
def test_decisions_that_leave_too_few_images_are_refused(
    lines: list[tuple[int, str, str]], message: str, file: Callable[..., Path]
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        applied(file(*lines), split())


def test_a_class_can_be_split_or_joined_to_another(file: Callable[..., Path]) -> None:
    lines = [(n, "cat", "lynx") for n in (0, 2, 4)]
    assert set(applied(file(*lines), split()).table["label"]) == {"cat", "dog", "lynx"}
    table = split(["cat", "dog", "elk"] * 4)
    lines = [(n, "elk", "cat") for n in (2, 5, 8)] + [(11, "elk", "drop")]
    found = applied(file(*lines), table).table["label"]
    assert TASKS["multiclass"].outputs(found) == ["cat", "dog"]
    assert TASKS["multiclass"].targets(found).tolist() == [0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, -1]


def test_a_class_named_drop_is_not_dropped_by_mistake(file: Callable[..., Path]) -> None:
    table = split(["cat", "drop"] * 6)
    assert applied(file((0, "cat", "cat")), table).counts["confirmed"] == 1
    with pytest.raises(SeedlingsError, match="expected 'drop' to mean .* found a class or a tag"):
        applied(file((0, "cat", "drop")), table)


def test_what_two_people_decide_is_merged_by_git_and_a_conflict_is_named(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """Forty random decisions of each, on their branches; both decided the image 7."""
    root = Path(__file__).parents[2]
    path = tmp_path / "data" / "corrections.csv"

    def git(*arguments: str) -> None:
        author = ("-c", "user.name=Test", "-c", "user.email=t@example.org")
        subprocess.run(["git", *author, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def decide(by: str, numbers: Sequence[int], new: str = "dog") -> list[Decision]:
        found = [Decision(named(n), f"{n}.png", "cat", new, by) for n in numbers]
        corrections.write(path, found)
        git("commit", "--all", "--message", by)
        return found

    git("init", "--initial-branch", "main")
    corrections.write(path, [])
    assert path.read_bytes() == (root / "data" / "corrections.csv").read_bytes()
    (tmp_path / ".gitattributes").write_bytes((root / ".gitattributes").read_bytes())
    git("add", "--all")
    git("commit", "--message", "The header alone")
    drawn = (rng.permutation(1_000) + 10).tolist()
    git("switch", "--create", "ann")
    first = decide("Ann", [7, *drawn[:40]])
    git("switch", "--create", "bob", "main")
    second = decide("Bob", drawn[40:80])
    git("merge", "ann")
    found = corrections.read(path, TASKS["multiclass"])
    assert sorted(found.values()) == sorted(first + second)
    git("switch", "ann")
    git("switch", "--create", "eve", "main")
    decide("Eve", [7, *drawn[80:]], "drop")
    git("merge", "bob")
    with pytest.raises(SeedlingsError) as caught:
        corrections.read(path, TASKS["multiclass"])
    lines = str(caught.value).splitlines()[1:-1]
    assert sorted(line.split(" by ")[1] for line in lines) == [
        "Ann: 7.png, cat → dog",
        "Eve: 7.png, cat → drop",
    ]


def test_decisions_are_written_sorted_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    one = Decision(named(3), "Ünï/a, b.png", "cat", "drop", "Ann", "2026-01-02", 'a "cat", or not')
    other = Decision(named(4), "c.png", "cat", "cat")
    corrections.write(path, [one, other, one])
    found = corrections.read(path, TASKS["multiclass"])
    assert list(found.values()) == sorted([one, other])


def test_what_was_applied_is_told_in_one_line(
    file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    corrections.warn(applied(file((0, "cat", "dog"), (1, "dog", "dog")), split()))
    expected = "split: labels corrected: 1, confirmed: 1; images dropped: 0; lines not applied: 0\n"
    assert capsys.readouterr() == (expected, "")
