import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedlings.data import annotations, image_folder
from seedlings.data.params import Annotations
from seedlings.errors import SeedlingsError
from seedlings.tasks import TASKS


def csv_file(**changes: Any) -> Annotations:
    values = {
        "file": "log.csv",
        "encoding": None,
        "delimiter": None,
        "path": 0,
        "label": 3,
        "header": False,
        "images": "IMG",
        "match": "name",
        "ending": "",
        "separator": "",
        "group": None,
        "block": None,
    }
    return Annotations(**{**values, **changes})


NAMED = {"path": "image", "label": "label", "header": True}
NUMBERED = {"path": 0, "label": 1, "header": False}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "IMG").mkdir()
    for name in ("c1.jpg", "c2.jpg", "c3.jpg", "rest.jpg"):
        (tmp_path / "IMG" / name).touch()
    return tmp_path


def test_a_driving_log_is_read_by_the_last_part_of_its_paths(raw: Path) -> None:
    (raw / "log.csv").write_text(
        "C:\\Users\\me\\IMG\\c2.jpg, IMG/l.jpg, IMG/r.jpg, -0.25, 1, 0, 30\n"
        "/home/me/IMG/c1.jpg, IMG/l.jpg, IMG/r.jpg, 0.5, 1, 0, 30\n"
    )
    table, bad = annotations.read(raw, csv_file(), TASKS["regression"])
    assert bad == []
    assert table["path"].tolist() == ["IMG/c1.jpg", "IMG/c2.jpg"]
    assert table["label"].tolist() == ["0.5", "-0.25"]
    assert annotations.unnamed(raw, table, csv_file()) == ["IMG/c3.jpg", "IMG/rest.jpg"]


@pytest.mark.parametrize("group", ["plant", 2])
def test_a_column_has_the_groups_of_the_images(group: int | str, raw: Path) -> None:
    (raw / "log.csv").write_text("image,label,plant\nc2.jpg,a, p 1 \nc1.jpg,b,\nc3.jpg,b,p2\n")
    named = csv_file(**NAMED, group=group)
    table, bad = annotations.read(raw, named, TASKS["multiclass"])
    assert bad == []
    assert table["known_group"].tolist() == ["", "p 1", "p2"]
    (raw / "log.csv").write_text('image,label,plant\nc1.jpg,b,"p\nq"\nc2.jpg,b,p\nc3.jpg,b\n')
    table, bad = annotations.read(raw, named, TASKS["multiclass"])
    assert table["path"].tolist() == ["IMG/c2.jpg"]
    assert "line 2: the group 'p\\nq' holds a control character" in bad[0]
    assert "expected 3 cells, one for each column, found 2" in bad[1]
    with pytest.raises(SeedlingsError, match=r"data\.annotations\.group: expected a column of"):
        annotations.read(raw, csv_file(**NAMED, group="plnat"), TASKS["multiclass"])


EXCEL = 'image;label\r\nc1.jpg;Möhre\r\nc2.jpg;"Rübe; rot"\r\n'
SAME = "image,label\nc1.jpg,Möhre\nc2.jpg,Rübe; rot\n"


@pytest.mark.parametrize(
    ("content", "changes"),
    [
        (SAME, {}),
        (SAME.replace("\n", "\r\n"), {}),
        (SAME.replace("\n", "\r"), {}),
        (SAME.rstrip(), {}),
        (SAME.replace("\n", "\n\n , \n"), {}),
        (SAME.encode("utf-8-sig"), {}),
        (("\ufeff" + SAME).encode("utf-8-sig"), {}),
        (SAME.encode("utf-16"), {}),
        (SAME.encode("cp1252"), {"encoding": "cp1252"}),
        (SAME.encode("utf-8-sig"), {"encoding": "cp1252"}),  # the byte order mark tells
        (SAME.encode("utf-16-be"), {"encoding": "utf-16-be"}),
        (EXCEL, {}),
        (EXCEL.encode("cp1252"), {"encoding": "cp1252"}),
        ("sep=;\r\n" + EXCEL, {}),
        ("sep=,\n" + SAME, NUMBERED | {"header": True}),
        (EXCEL.replace(";", "\t").replace("Rübe\t", "Rübe;").encode("utf-16"), {}),
        ("image|label\nc1.jpg|Möhre\nc2.jpg|Rübe; rot\n", {}),
        ('image label\nc1.jpg Möhre\nc2.jpg  "Rübe; rot" \n', {"delimiter": "space"}),
        ("c1.jpg,Möhre\nc2.jpg,Rübe; rot\n", NUMBERED),
        ("c1.jpg;Möhre\nc2.jpg;Rübe; rot\n".replace("; ", ", "), NUMBERED | {"instead": ","}),
        ('"image" , "label"\n"c1.jpg" , "Möhre"\n"c2.jpg" , "Rübe; rot" \n', {}),
        ("image,label\n c1.jpg , Möhre \nc2.jpg,Rübe; rot\n", {}),
        ("image,label,\nc1.jpg,Möhre,,\nc2.jpg,Rübe; rot\n", {}),
        ('"","image","label"\n"1","c1.jpg","Möhre"\n"2","c2.jpg","Rübe; rot"\n', {}),  # R
        (",image,label\n0,c1.jpg,Möhre\n1,c2.jpg,Rübe; rot\n", {}),  # pandas
        ('image,note,label\nc1.jpg,,Möhre\nc2.jpg,"two\nlines",Rübe; rot\n', {}),
        (
            "annotation_id,annotator,choice,created_at,id,image\n"  # Label Studio
            "1,1,Möhre,2026-01-01T00:00:00Z,7,/data/upload/1/0123abcd-c1.jpg\n"
            "2,1,Rübe; rot,2026-01-01T00:00:00Z,8,/data/local-files/?d=my%20data%5Cc2.jpg\n",
            {"label": "choice", "match": "name"},
        ),
        ("image,label\n.\\c1.jpg,Möhre\nc2.jpg,Rübe; rot\n", {}),
        (unicodedata.normalize("NFD", SAME), {}),
    ],
)
def test_every_form_of_a_csv_file_gives_the_same_table(
    content: str | bytes, changes: dict[str, Any], raw: Path
) -> None:
    changes = dict(changes)
    label = f"Rübe{changes.pop('instead', ';')} rot"
    (raw / "log.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    table, bad = annotations.read(raw, csv_file(**{**NAMED, **changes}), TASKS["multiclass"])
    assert bad == []
    assert table[["path", "label"]].values.tolist() == [
        ["IMG/c1.jpg", "Möhre"],
        ["IMG/c2.jpg", label],
    ]


def test_an_upload_of_label_studio_has_its_own_name_where_that_is_there(raw: Path) -> None:
    (raw / "IMG" / "0123abcd-c1.jpg").touch()
    (raw / "log.csv").write_text("/data/upload/1/0123abcd-c1.jpg,a\nc2.jpg,b\n")
    table, _ = annotations.read(raw, csv_file(label=1), TASKS["multiclass"])
    assert table["path"].tolist() == ["IMG/0123abcd-c1.jpg", "IMG/c2.jpg"]


@pytest.mark.parametrize("label", ["NA", "nan", "None", "null", "1", "01", "TRUE", "$a^$"])
def test_a_label_is_the_text_in_its_cell(label: str, raw: Path) -> None:
    (raw / "log.csv").write_text(f"c1.jpg,{label}\nc2.jpg,b\n")
    table, _ = annotations.read(raw, csv_file(label=1), TASKS["multiclass"])
    assert table["label"].tolist() == [label, "b"]


@pytest.mark.parametrize(("on_disk", "in_file"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_path_is_found_in_another_unicode_form(on_disk: str, in_file: str, raw: Path) -> None:
    there = unicodedata.normalize(on_disk, "é.jpg")
    (raw / "IMG" / there).touch()
    rows = f"{unicodedata.normalize(in_file, 'é.jpg')},a\nc2.jpg,b\n"
    (raw / "log.csv").write_text(rows, encoding="utf-8")
    table, bad = annotations.read(raw, csv_file(label=1), TASKS["multiclass"])
    assert bad == []
    assert table["path"].tolist() == ["IMG/c2.jpg", f"IMG/{there}"]


def test_the_file_is_found_in_another_unicode_form(raw: Path) -> None:
    (raw / "e\u0301.csv").write_text("c1.jpg,a\nc2.jpg,b\n")
    layout = csv_file(label=1, file="\u00e9.csv")
    table, _ = annotations.read(raw, layout, TASKS["multiclass"])
    assert table["label"].tolist() == ["a", "b"]
    assert annotations.unnamed(raw, table, layout) == ["IMG/c3.jpg", "IMG/rest.jpg"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat", "cat"),
        ("cat", "cat\u200b"),
        ("Ｃａｔ", "cat"),
    ],
)
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_classes_whose_names_look_alike_are_named_with_their_lines(
    task: str, one: str, other: str, raw: Path
) -> None:
    (raw / "log.csv").write_text(f"c1.jpg,{one}\nc2.jpg,{other}\nc3.jpg,dog\n", encoding="utf-8")
    separator = "|" if task == "multilabel" else ""
    with pytest.raises(SeedlingsError, match=r"log\.csv: expected .*case, blanks.*'.*\(line [12]"):
        annotations.read(raw, csv_file(label=1, separator=separator), TASKS[task])


def test_classes_that_differ_in_blanks_alone_are_named_and_tags_are_the_same(raw: Path) -> None:
    rows = "c1.jpg,big  cat\nc2.jpg,big\u00a0cat\nc3.jpg,big cat|dog\n"
    (raw / "log.csv").write_text(rows, encoding="utf-8")
    with pytest.raises(
        SeedlingsError, match=r"'big  cat' \(line 1\) and 'big\\xa0cat' \(line 2\);"
    ):
        annotations.read(raw, csv_file(label=1), TASKS["multiclass"])
    table, _ = annotations.read(raw, csv_file(label=1, separator="|"), TASKS["multilabel"])
    assert table["label"].tolist() == ["big_cat", "big_cat", "big_cat dog"]


def test_the_case_of_single_letters_counts(raw: Path) -> None:
    (raw / "log.csv").write_text("c1.jpg,A\nc2.jpg,a\n")
    table, _ = annotations.read(raw, csv_file(label=1), TASKS["multiclass"])
    assert table["label"].tolist() == ["A", "a"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("c2.PNG,b", "c2.PNG is not there$"),
        ("C2.JPG,b", "C2.JPG is not there, but .*IMG/c2.jpg is$"),
        ('"c2\n.jpg",b', r"the path 'c2\\n.jpg' holds a control character"),
        ("c2.jpg,b,c", "expected 2 cells, one for each column, found 3"),
        ("c2.jpg", "expected 2 cells, one for each column, found 1"),
        ("c2.jpg,", "has no label"),
    ],
)
def test_the_line_of_a_row_is_that_on_which_it_begins(row: str, reason: str, raw: Path) -> None:
    text = f'\n"image","la\nbel"\n\n"c1.jpg","a"\n{row}\nc3.jpg,a\nrest.jpg,b\n'
    (raw / "log.csv").write_text(text)
    changes = {"path": "image", "label": 1, "header": True}
    table, [found] = annotations.read(raw, csv_file(**changes), TASKS["multiclass"])
    assert len(table) == 3
    assert found.startswith(f"{raw / 'log.csv'}, line 6: ")
    assert re.search(reason, found)


def test_most_rows_may_be_shorter_than_the_columns(raw: Path) -> None:
    (raw / "log.csv").write_text("c1.jpg,a\nc2.jpg\nc3.jpg\nrest.jpg\n")
    table, bad = annotations.read(raw, csv_file(label=1, separator="|"), TASKS["multilabel"])
    assert table["path"].tolist() == ["IMG/c1.jpg"]
    assert [line.split(": ")[1] for line in bad] == [
        "expected 2 cells, one for each column, found 1"
    ] * 3


def test_a_label_with_a_line_break_is_refused(raw: Path) -> None:
    (raw / "log.csv").write_text('c1.jpg,a\nc2.jpg,"b\nc"\nc3.jpg,d\n')
    message = r"(?s)none of: 'b\\nc'.*line 2: the label 'b\\nc' holds a control character"
    with pytest.raises(SeedlingsError, match=message):
        annotations.read(raw, csv_file(label=1), TASKS["multiclass"])


def test_the_missing_files_of_a_class_are_told_before_it_is_missed(raw: Path) -> None:
    (raw / "log.csv").write_text("c1.jpg,a\nc2.jpg,a\ngone1.jpg,b\ngone2.jpg,b\n")
    with pytest.raises(SeedlingsError, match=r"(?s)none of: 'b'.*line 3: .*gone1.*line 4: .*gone2"):
        image_folder.read(raw, csv_file(label=1), "share", TASKS["multiclass"])


def test_names_of_columns_without_a_header_are_told(raw: Path) -> None:
    (raw / "log.csv").write_text("image,label\nc1.jpg,a\nc2.jpg,b\n")
    with pytest.raises(SeedlingsError, match=r"line 1: .*set data\.annotations\.header to true"):
        annotations.read(raw, csv_file(label=1), TASKS["multiclass"])


def test_tags_are_split_and_named_columns_and_endings_used(raw: Path) -> None:
    (raw / "log.csv").write_text("image_name,tags\nc1,partly cloudy|sea\nc2,sea\n")
    named = csv_file(path="image_name", label="tags", header=True, ending=".jpg", separator="|")
    table, bad = annotations.read(raw, named, TASKS["multilabel"])
    assert bad == []
    assert table["label"].tolist() == ["partly_cloudy sea", "sea"]


def test_every_row_that_cannot_be_used_is_told_with_its_line(raw: Path) -> None:
    rows = {
        "c1.jpg,l,r,0.5": "",
        "c1.jpg,l,r,0.50": "a second time",
        "gone.jpg,l,r,0": "is not there",
        "c2.jpg,l,r,left": "'left'",
        "c3.jpg,l,r,": "found ''",
        f"{'x' * 300},l,r,0.5": "File name too long",
    }
    (raw / "log.csv").write_text("\n".join(rows))
    table, bad = annotations.read(raw, csv_file(), TASKS["regression"])
    assert table["path"].tolist() == ["IMG/c1.jpg"]
    for number, (line, reason) in enumerate(zip(bad, [*rows.values()][1:], strict=True), 2):
        assert f"line {number}: " in line
        assert reason in line


@pytest.mark.parametrize(
    "path", ["../secret.png", "/etc/passwd", "a/../../x", "C:\\Users\\c2.jpg", "..\\IMG\\c2.jpg"]
)
def test_a_row_cannot_leave_the_folder(path: str, raw: Path) -> None:
    (raw / "log.csv").write_text(f"c1.jpg,l,r,0.5\n{path},l,r,0.5\n")
    _, [reason] = annotations.read(raw, csv_file(match="path"), TASKS["regression"])
    assert "line 2: " in reason
    assert "leaves the folder of images; if data.annotations.match is `name`" in reason


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        (None, {}, r"data\.annotations\.file: expected a CSV file at .*log\.csv, found none"),
        ("", {}, r"log\.csv: expected a row for each image, found none"),
        ("\n \n,,\n", {}, r"log\.csv: expected a row for each image, found none"),
        (
            "a,b\n",
            {},
            r"data\.annotations\.label: expected a column .*, found 3; there are 0, 1 \(",
        ),
        (
            "a;b\n",
            {},
            r"data\.annotations\.label: expected a column .*, found 3; there are 0, 1 \(",
        ),
        (
            "a,b\n1,2\n",
            NAMED | {"path": "x"},
            r"\.path: .* found 'x'; line 1 has the columns 0 'a', 1 'b'; if it is the row",
        ),
        ("Image,Label\n1,2\n", NAMED, r"found 'image'; did you mean Image\?; line 1 has"),
        ("image:label\n1:2\n", NAMED, r"line 1 has the columns 0 'image:label'; if .*delimiter"),
        ("a,b,b\n1,2,3\n", NAMED | {"path": "a", "label": "b"}, r"\.label: .*'b', .*twice; line 1"),
        (
            "c1.jpg,cat\nc2.jpg,dog\n",
            NUMBERED | {"header": True},
            r"the first row, found the path of an image, 'c1.jpg'; set data\.annotations\.header",
        ),
        (
            "gone.jpg,cat\nc2.jpg,dog\n",
            NUMBERED | {"header": True},
            r"the first row, found the path of an image, 'gone.jpg'",
        ),
        (
            ",image,label\n0,c1.jpg,a\n1,c2.jpg,b\n",
            NUMBERED | {"header": True},
            r"(?s)found none:.*line 2: .*IMG/0 is not.*columns 0 '', 1 'image', 2 'label'",
        ),
        (
            '"image","label"\n"1","c1.jpg","a"\n"2","c2.jpg","b"\n',  # of R's write.table
            NAMED,
            "(?s)line 2: expected 2 cells, one for each column, found 3.*line 3: expected 2 cells",
        ),
        ("0,5;IMG/c1.jpg", NUMBERED | {"path": 1, "label": 0}, "found comma and semicolon; set"),
        (
            'image,label\nc1.jpg,"a\nc2.jpg,b\n',
            NAMED,
            "csv, line 2: expected quotation marks around",
        ),
        ('image,label\nc1.jpg,"a"b"\nc2.jpg,b\n', NAMED, "csv, line 2: .*two for each one inside"),
        ("image,label\nc1.jpg,Möhre\n".encode("cp1252"), NAMED, r"line 2: .*b'\\xf6hre.*encoding"),
        ("image,label\nc1.jpg,a\n".encode("utf-16-le"), NAMED, "found zero bytes; save"),
        (b"PK\x03\x04...", NAMED, "found a workbook; save it as CSV"),
    ],
)
def test_annotations_that_does_not_fit_is_told(
    text: str | bytes | None, changes: dict[str, Any], message: str, raw: Path
) -> None:
    if text is not None:
        (raw / "log.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SeedlingsError, match=message):
        annotations.read(raw, csv_file(**changes), TASKS["multiclass"])


def test_one_class_alone_is_refused(raw: Path) -> None:
    (raw / "log.csv").write_text("c1.jpg,l,r,only\nc2.jpg,l,r,only\n")
    with pytest.raises(SeedlingsError, match="two classes in the column 3.*found only 'only'"):
        image_folder.read(raw, csv_file(), "share", TASKS["multiclass"])


def rows_of(exact: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"exact": exact.astype(np.uint64), "row": np.arange(len(exact))})


def test_without_blocks_a_unit_is_an_image() -> None:
    table = pd.DataFrame({"exact": np.array([7, 2**64 - 1], np.uint64)})
    assert annotations.units(table, None).tolist() == [7, 2**64 - 1]


def test_a_block_begins_at_the_smallest_hash_around() -> None:
    exact = np.array([5, 3, 9, 8, 7, 1, 6, 4, 2, 9])
    # 3 and 1 and 2 are the smallest of five, the two before and the two after them.
    expected = [3, 3, 3, 3, 3, 1, 1, 1, 2, 2]
    assert annotations.units(rows_of(exact), 4).tolist() == expected
    shuffled = rows_of(exact).sample(frac=1, random_state=0)
    found = annotations.units(shuffled, 4)
    assert found[np.argsort(shuffled["row"])].tolist() == expected


def test_blocks_have_about_their_length(rng: np.random.Generator) -> None:
    exact = rng.integers(0, 2**63, 20_000).astype(np.uint64) * 2 + 1
    lengths = np.unique(annotations.units(rows_of(exact), 50), return_counts=True)[1]
    assert lengths.mean() == pytest.approx(51, rel=0.05)
    assert np.sort(lengths)[1] >= 26  # but for the last block
    assert lengths.max() < 50 * 4


def test_a_row_more_or_less_changes_only_the_blocks_beside_it(rng: np.random.Generator) -> None:
    exact = rng.integers(0, 2**63, 2_000).astype(np.uint64)
    before = annotations.units(rows_of(exact), 20)
    for _ in range(50):
        place = int(rng.integers(len(exact)))
        after = annotations.units(rows_of(np.delete(exact, place)), 20)
        changed = np.flatnonzero(np.delete(before, place) != after)
        names = set(np.delete(before, place)[changed])
        assert len(names) <= 2
        assert all(abs(row - place) < 100 for row in changed)
