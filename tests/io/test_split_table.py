from pathlib import Path

import pandas as pd

from seedlings.io import split_table


def test_the_table_comes_back_from_disk(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "path": ["Shepherd’s Purse/a, b.png", "NA/1.png", 'quo"te/1.png'],
            "label": ["Shepherd’s Purse", "NA", 'quo"te'],
            "split": ["train", "test", "validation"],
            "group": [0, 1, 2],
            "digest": ["00", "1e5", "ff"],
        }
    )
    split_table.write(table.assign(exact=1), tmp_path / "split.csv")
    found = split_table.read(tmp_path / "split.csv")
    expected = table.assign(original=table["label"])
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_the_original_labels_are_written_if_one_was_corrected(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "path": ["a.png", "b.png", "c.png"],
            "label": ["x", "y", ""],
            "split": ["train", "test", "test"],
            "group": [0, 1, 2],
            "digest": ["00", "01", "02"],
            "original": ["x", "x", "y"],
        }
    )
    path = tmp_path / "split.csv"
    split_table.write(table.assign(label=table["original"]), path)
    assert path.read_text("utf-8").startswith("path,label,split,group,digest\n")
    split_table.write(table, path)
    found = split_table.read(path)
    pd.testing.assert_frame_equal(found, table, check_dtype=False)
    assert split_table.rows(found, "test").tolist() == [1]  # the dropped image is not used
    original = split_table.with_original_labels(found)
    assert split_table.rows(original, "test").tolist() == [1, 2]
    assert original["label"].tolist() == ["x", "x", "y"]
