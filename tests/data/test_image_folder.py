from pathlib import Path

import pandas as pd
import pytest

from seedlings.data import image_folder
from seedlings.errors import SeedlingsError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_the_top_folder_is_the_label_and_paths_are_sorted(tmp_path: Path) -> None:
    raw = touch(tmp_path, "b c/2.png", "b c/1.png", "Shepherd’s Purse/deep/x.JPG", "LICENSE")
    table, unlabelled = image_folder.scan(raw, "per_class")
    assert table["path"].tolist() == ["Shepherd’s Purse/deep/x.JPG", "b c/1.png", "b c/2.png"]
    assert table["label"].tolist() == ["Shepherd’s Purse", "b c", "b c"]
    assert unlabelled == ["LICENSE"]


def test_a_class_and_an_image_may_begin_with_a_dot(tmp_path: Path) -> None:
    raw = touch(tmp_path, ".NET/.5mm.png", "a/1.png")
    table, _ = image_folder.scan(raw, "per_class")
    assert table["path"].tolist() == [".NET/.5mm.png", "a/1.png"]
    assert table["label"].tolist() == [".NET", "a"]


def test_folders_of_splits_give_the_split(tmp_path: Path) -> None:
    raw = touch(tmp_path, "Train/a/1.png", "valid/b/2.png", "test/a/3.png", "test/x.png")
    table, unlabelled = image_folder.scan(raw, "folders")
    assert dict(zip(table["path"], table["split"], strict=True)) == {
        "Train/a/1.png": "train",
        "valid/b/2.png": "validation",
        "test/a/3.png": "test",
    }
    assert unlabelled == ["test/x.png"]


@pytest.mark.parametrize(
    ("rule", "names", "message"),
    [
        ("folders", ["train/a/1.png", "extra/a/1.png"], "found the folder 'extra'"),
        (
            "per_class",
            ["train/a/1.png", "test/a/1.png"],
            r"set split\.rule to `folders`.*or data\.folder",
        ),
        ("per_class", ["a/1.png"], "at least two classes.*found only 'a'"),
        ("per_class", ["1.png"], "at least two classes.*found none"),
    ],
)
def test_folders_that_are_no_classes_of_the_rule_are_refused(
    rule: str, names: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        image_folder.scan(touch(tmp_path, *names), rule)


def test_a_label_is_the_name_of_its_folder_in_one_form_without_outer_blanks(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    raw = touch(
        tmp_path, f"train/{composed}/1.png", f"test/{decomposed}/2.png", "train /dog /3.png"
    )
    table, _ = image_folder.scan(raw, "folders")
    assert dict(zip(table["path"], table["label"], strict=True)) == {
        f"train/{composed}/1.png": composed,
        f"test/{decomposed}/2.png": composed,
        "train /dog /3.png": "dog",
    }
    assert set(table["split"]) == {"train", "test"}


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("Cat", "cat", r"'Cat' \(Cat\) and 'cat' \(cat\); give the folders of a class one name"),
        ("dog ", "dog", r"'dog' \(dog\) and 'dog ' \(dog \)"),
    ],
)
def test_folders_whose_names_look_alike_are_named(
    one: str, other: str, message: str, tmp_path: Path
) -> None:
    raw = touch(tmp_path, f"{one}/1.png", f"{other}/2.png", "fox/3.png")
    with pytest.raises(SeedlingsError, match=message):
        image_folder.scan(raw, "per_class")


def labels(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"label": names})


def test_accept_lists_all_bad_images_or_skips_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = labels("a", "b", "a", "b")
    image_folder.accept(table, table, [], "refuse")
    reasons = ["a/1.png: damaged", "b/2.png: empty"]
    with pytest.raises(SeedlingsError, match=r"(?s)2 files.*a/1\.png.*b/2\.png.*on_bad_image"):
        image_folder.accept(table, table[:2], reasons, "refuse")
    image_folder.accept(table, table[:2], reasons, "skip")
    assert "skipped: b/2.png: empty" in capsys.readouterr().err


def test_a_class_that_loses_all_its_images_is_an_error() -> None:
    with pytest.raises(SeedlingsError, match="usable images of every class, found none of: b, c"):
        image_folder.accept(labels("a", "b", "c"), labels("a"), ["b", "c"], "skip")


def test_unlabelled_files_are_named_and_images_among_them_are_errors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ["LICENSE", "a.avif", "b.tga", "c.jp2", "d.jfif", "top.PNG"]
    assert image_folder.bad_unlabelled(names, Path("raw")) == [
        f"raw/{name}: an image outside every class folder" for name in names[1:]
    ]
    assert capsys.readouterr().err == "unlabelled: raw/LICENSE is outside every class folder\n"
