"""The split table, data/split.csv: path, label, split, group and digest of every image.

A label that a person has corrected has the first one in the column `original`, which is there if
any label was corrected. An image that was dropped has an empty label, and is not used. The digest
is that of the bytes of the image file (see parts.digest); it is the key of the image's row in the
arrays.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seedlings.io.files import write_csv

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation", "test")
COLUMNS = ["path", "label", "split", "group", "digest"]
ORIGINAL = "original"


def write(table: "pd.DataFrame", path: Path) -> None:
    """Write the table (`COLUMNS`, and `original` if it differs from `label`), atomically."""
    is_corrected = ORIGINAL in table and (table[ORIGINAL] != table["label"]).any()
    write_csv(path, table[[*COLUMNS, ORIGINAL] if is_corrected else COLUMNS])


def read(path: Path) -> "pd.DataFrame":
    """Return the table in a file, with `original`: group is a number, the others are text."""
    import pandas as pd

    text = {"path": str, "label": str, "split": str, "digest": str, ORIGINAL: str}
    table = pd.read_csv(path, dtype=text, keep_default_na=False)
    return table if ORIGINAL in table else table.assign(original=table["label"])


def used(table: "pd.DataFrame") -> NDArray[np.bool_]:
    """Return for each row whether its image is used: it has a label, as it was not dropped."""
    return (table["label"] != "").to_numpy()


def with_original_labels(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return the table as it is without corrections."""
    return table.assign(label=table[ORIGINAL]) if ORIGINAL in table else table


def rows(table: "pd.DataFrame", split: str) -> NDArray[np.int64]:
    """Return the row numbers of the images of one split that are used, ascending."""
    return np.flatnonzero((table["split"] == split).to_numpy() & used(table))


def crossing(table: "pd.DataFrame") -> NDArray[np.bool_]:
    """Return for each row whether its group of duplicates is in more than one split."""
    splits = table["split"].where(used(table))
    return (splits.groupby(table["group"]).transform("nunique") > 1).to_numpy()
