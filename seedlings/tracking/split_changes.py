"""Changes of the split: the images whose split differs between two split tables, and the causes."""

from collections import defaultdict
from dataclasses import dataclass

import pandas as pd

from seedlings.io import split_table

# The causes.
LABEL = "its label changed"
GROUP = "its group changed"
DISPLACED = "displaced by another image of its class, as their number in a split is exact"
REPLACES = "in the place of another image of its class, as their number in a split is exact"
OTHER = "another parameter, or another version of the code"


@dataclass(frozen=True, slots=True)
class SplitChange:
    """An image whose split changed, and the cause."""

    path: str
    before: str
    after: str
    cause: str

    def __str__(self) -> str:
        """Return the change as one line of text."""
        return f"{self.path}: {self.before} → {self.after}, {self.cause}"


def match(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, str]:
    """Return the path in `before` of each image of `after` that `before` has, too.

    The tables have the columns `path` and `digest`, of the file. An image is in both if its content
    is, or else if its path is and the content there is in no other file.
    """
    old = dict(zip(before["path"], before["digest"], strict=True))
    new = dict(zip(after["path"], after["digest"], strict=True))
    found = {path: path for path, digest in new.items() if old.get(path) == digest}
    renamed = {digest: path for path, digest in reversed(old.items()) if path not in found}
    for path, digest in new.items():
        if path not in found and digest in renamed:
            found[path] = renamed.pop(digest)
    used = set(found.values())
    edited = {p: p for p in new if p in old and p not in found and p not in used}
    return found | edited


def summary(before: pd.DataFrame, after: pd.DataFrame) -> str:
    """Return how the images of two split tables differ: "20 added, 5 removed, 3 relabelled"."""
    names = match(before, after)
    first = before.set_index("path").loc[[*names.values()]]
    second = after.set_index("path").loc[[*names]]
    labels = [part["label"].to_numpy() for part in (first, second)]
    used = [split_table.used(part) for part in (first, second)]
    counts = {
        "added": len(after) - len(names),
        "removed": len(before) - len(names),
        "renamed": (first.index != second.index).sum(),
        "edited": (first["digest"].to_numpy() != second["digest"].to_numpy()).sum(),
        "relabelled": (used[0] & used[1] & (labels[0] != labels[1])).sum(),
        "dropped": (used[0] & ~used[1]).sum(),
        "used again": (~used[0] & used[1]).sum(),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "the same"


def find(
    before: pd.DataFrame, after: pd.DataFrame, *, has_classes: bool = True, same_params: bool = True
) -> list[SplitChange]:
    """Return the images of both split tables whose split changed, in the order of `after`.

    A group changes if an image joins or leaves it, or if the content of one of its files changes.
    An image without such a change can be displaced by images of its class that join its split, or
    leave training for the place of one that left a split, as the number of images of a class in a
    split is exact or has a minimum. `has_classes` is that of the
    task; without, all images count as one class. With other parameters of the split, that is the
    cause of every change. Paths are those of `after`.
    """
    names = {old: new for new, old in match(before, after).items()}
    earlier = [names.get(path, f"{path} (before)") for path in before["path"]]
    old = _images(before.assign(path=earlier), has_classes)
    new = _images(after, has_classes)
    both = [path for path in new if path in old]
    moved = [path for path in both if old[path].split != new[path].split]
    causes = dict.fromkeys(moved, OTHER)
    if same_params:
        own = {path: cause for path in both if (cause := _own_cause(old[path], new[path]))}
        changed = own.keys() | old.keys() ^ new.keys()
        classes = {table[path].label for table in (old, new) for path in changed & table.keys()}
        others = {path: new[path].classes for path in moved if path not in own}
        for path in _displaced(others, classes):
            causes[path] = REPLACES if old[path].split == "train" else DISPLACED
        causes |= own
    return [SplitChange(path, old[path].split, new[path].split, causes[path]) for path in moved]


@dataclass(frozen=True, slots=True)
class _Image:
    label: str
    split: str
    group: frozenset[tuple[str, str]]  # path and digest of each image of the group
    classes: frozenset[str]  # of the images of the group


def _images(table: pd.DataFrame, has_classes: bool) -> dict[str, _Image]:
    """Return the images of a split table by their paths."""
    table = split_table.with_original_labels(table)  # the split is drawn with these
    table = table if has_classes else table.assign(label="")
    groups = defaultdict(list)
    for row in table.itertuples():
        groups[row.group].append(row)
    found: dict[str, _Image] = {}
    for rows in groups.values():
        group = frozenset((row.path, row.digest) for row in rows)
        classes = frozenset(row.label for row in rows)
        found |= {row.path: _Image(row.label, row.split, group, classes) for row in rows}
    return {path: found[path] for path in table["path"]}


def _own_cause(old: _Image, new: _Image) -> str:
    """Return the cause of a change that is in the image or its group, or "" if there is none."""
    if old.label != new.label:
        return LABEL
    return GROUP if old.group != new.group else ""


def _displaced(images: dict[str, frozenset[str]], classes: set[str]) -> set[str]:
    """Return the images that changes of `classes` can displace or move, given their own classes.

    A displaced image can displace others in turn, of all classes of its group.
    """
    found: set[str] = set()
    while new := {path for path, own in images.items() if path not in found and own & classes}:
        found |= new
        classes = classes.union(*(images[path] for path in new))
    return found
