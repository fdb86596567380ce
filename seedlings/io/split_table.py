"""The split table, data/split.csv: path, label, split, group and digest of every image.

The digest is that of the bytes of the image file (see parts.digest); it is the key of the image's
row in the arrays.
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


def write(table: "pd.DataFrame", path: Path) -> None:
    """Write the table (columns path, label, split, group, digest) as CSV, atomically."""
    write_csv(path, table[COLUMNS])


def read(path: Path) -> "pd.DataFrame":
    """Return the table in a file: group is a number, the other columns are text."""
    import pandas as pd

    text = {"path": str, "label": str, "split": str, "digest": str}
    return pd.read_csv(path, dtype=text, keep_default_na=False)


def rows(table: "pd.DataFrame", split: str) -> NDArray[np.int64]:
    """Return the row numbers of one split, ascending."""
    return np.flatnonzero((table["split"] == split).to_numpy())


def crossing(table: "pd.DataFrame") -> NDArray[np.bool_]:
    """Return for each row whether its group of duplicates is in more than one split."""
    return (table.groupby("group")["split"].transform("nunique") > 1).to_numpy()
