"""Known groups: images that a user knows to belong together, as those of a plant or a patient.

Their names are in a column of the annotations or in the paths of the images. Known groups that
share near duplicates are one group of the split, because grouping is transitive.
"""

import hashlib
import re
import sys
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings.data.params import Data
from seedlings.errors import SeedlingsError

KNOWN = "known_group"
FOLDER = "folder"
_SHOWN = 5


def find(table: pd.DataFrame, data: Data, rule: str) -> list[str]:
    """Return the name of the known group of each image; it is empty for an image in none.

    The table has the paths of the images and, with `data.annotations.group`, the names. `rule` is
    that of the split. Raises SeedlingsError if no image is in a group.
    """
    if data.annotations.group is not None:
        key, how, found = "data.annotations.group", data.annotations.group, table[KNOWN].tolist()
    elif data.group is not None:
        key, how = "data.group", data.group
        depth = 0 if data.annotations.file else 2 if rule == "folders" else 1
        found = [_in_path(path, data.group, depth) for path in table["path"]]
    else:
        return [""] * len(table)
    if not any(found):
        raise SeedlingsError(
            f"{key}: expected the groups of images by {how!r}, found none for {len(table)} images, "
            f"such as {table['path'].iloc[0]}"
        )
    return found


def _in_path(path: str, pattern: str, depth: int) -> str:
    """Return the group in a path; a folder is one if it is below the folder of the class."""
    if pattern == FOLDER:
        folder = PurePosixPath(path).parent
        return str(folder) if len(folder.parts) > depth else ""
    match = re.search(pattern, path)
    return (match[1 if match.re.groups else 0] if match else "") or ""


def units(table: pd.DataFrame) -> NDArray[np.uint64]:
    """Return the unit of each image of a table with units, which is that of its known group.

    So a known group has one draw of the split, however many images it has.
    """
    found = table["unit"].to_numpy(dtype=np.uint64).copy()
    for name, rows in table.groupby(KNOWN).indices.items():
        if name:
            digest = hashlib.blake2b(str(name).encode(), digest_size=8).digest()
            found[rows] = int.from_bytes(digest)
    return found


def alone(table: pd.DataFrame) -> list[str]:
    """Return the paths of the images in no known group, if there are known groups; print them."""
    is_alone = table[KNOWN] == ""
    if is_alone.all():
        return []
    found = table.loc[is_alone, "path"].tolist()
    count = table.loc[~is_alone, KNOWN].nunique()
    plural = "" if count == 1 else "s"
    print(f"split: {len(table) - len(found)} images are in {count} known group{plural}")
    if found:
        more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        print(
            f"split: {len(found)} images are in none, each is a group of its own:\n  "
            + "\n  ".join(found[:_SHOWN])
            + more,
            file=sys.stderr,
        )
    return found
