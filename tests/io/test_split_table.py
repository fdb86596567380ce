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
    pd.testing.assert_frame_equal(
        split_table.read(tmp_path / "split.csv"), table, check_dtype=False
    )
