"""Moves: the images whose split differs between two versions of the data, each with its cause."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Move:
    """An image with another split than before, and why."""

    path: str
    before: str
    after: str
    cause: str
    by: tuple[str, ...] = ()  # the images that are the cause

    def __str__(self) -> str:
        """Return the move as one line of text, with the first images that are its cause."""
        more = f" and {len(self.by) - _SHOWN} more" if len(self.by) > _SHOWN else ""
        by = f" by {', '.join(self.by[:_SHOWN])}{more}" if self.by else ""
        return f"{self.path}: {self.before} → {self.after}, {self.cause}{by}"


# The causes. All but the last are followed by the images that are the cause.
LABEL = "its label changed"
PIXELS = "the pixels of its group changed"
JOINED = "its group was joined"
PARTED = "its group was left"
REGROUPED = "its group was joined and left"
DISPLACED = "it was displaced"
UNKNOWN = "by another seed, other parameters or another version of the split"


def match(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, str]:
    """Return for each image of `after` that is in `before`, too, its path there.

    The tables have a column `path`. If both have a column `digest`, of the file, an image is in
    both if its content is, or else if its path is and the content there is in no other file.
    """
    if "digest" not in before or "digest" not in after:
        known = set(before["path"])
        return {path: path for path in after["path"] if path in known}
    old = dict(zip(before["path"], before["digest"], strict=True))
    new = dict(zip(after["path"], after["digest"], strict=True))
    found = {path: path for path, digest in new.items() if old.get(path) == digest}
    moved = {digest: path for path, digest in reversed(old.items()) if path not in found}
    for path, digest in new.items():
        if path not in found and digest in moved:
            found[path] = moved.pop(digest)
    taken = set(found.values())
    edited = {p: p for p in new if p in old and p not in found and p not in taken}
    return found | edited


@dataclass(frozen=True, slots=True)
class _Image:
    label: str
    split: str
    digest: str
    group: frozenset[str]


def find(before: pd.DataFrame, after: pd.DataFrame, *, has_classes: bool = True) -> list[Move]:
    """Return the images of both split tables whose split changed, in the order of `after`.

    An image moves if its label, the pixels of its group or the members of its group changed. Other
    images are displaced by those: from validation and back, as a class has a fixed number of images
    there, and by the least number of images of a class in each split. `has_classes` is that of the
    task; without, all images count as one class. Paths are those of `after`.
    """
    old, new = _images(before, after, has_classes)
    both = [name for name in new if name in old]
    causes = {name: _own_cause(name, old, new) for name in both}
    changed = {name for name, cause in causes.items() if cause}
    changed |= old.keys() ^ new.keys()
    moved = [name for name in both if old[name].split != new[name].split]
    waiting = [name for name in moved if not causes[name]]
    while waiting:  # a displaced image can displace another
        flows = _flows(changed, old, new)
        found = {name: by for name in waiting if (by := _displacing(name, old, new, flows))}
        causes |= {name: (DISPLACED, by) for name, by in found.items()}
        changed |= found.keys()
        waiting = [name for name in waiting if name not in found]
        if not found:
            break
    return [
        Move(name, old[name].split, new[name].split, *(causes[name] or (UNKNOWN, ())))
        for name in moved
    ]


def _images(
    before: pd.DataFrame, after: pd.DataFrame, has_classes: bool
) -> tuple[dict[str, _Image], dict[str, _Image]]:
    """Return the images of both tables by the same names: the path in `after`, if it is there."""
    names = {old: new for new, old in match(before, after).items()}
    used = set(after["path"])
    for path in before["path"]:
        if path not in names:
            names[path] = f"{path} (before)" if path in used else path
    return _named(before, names, has_classes), _named(after, {}, has_classes)


def _named(table: pd.DataFrame, names: dict[str, str], has_classes: bool) -> dict[str, _Image]:
    paths = [names.get(path, path) for path in table["path"]]
    members = defaultdict(list)
    for path, group in zip(paths, table["group"], strict=True):
        members[group].append(path)
    groups = {group: frozenset(found) for group, found in members.items()}
    labels = table["label"] if has_classes else [""] * len(table)
    digests = table.get("digest", [""] * len(table))
    return {
        path: _Image(label, split, digest, groups[group])
        for path, label, split, digest, group in zip(
            paths, labels, table["split"], digests, table["group"], strict=True
        )
    }


def _own_cause(
    name: str, old: dict[str, _Image], new: dict[str, _Image]
) -> tuple[str, tuple[str, ...]] | None:
    """Return the cause of a possible move that is in the image or its group, and by which."""
    here, there = old[name], new[name]
    if here.label != there.label:
        return LABEL, ()
    joined, left = there.group - here.group, here.group - there.group
    if joined or left:
        cause = REGROUPED if joined and left else JOINED if joined else PARTED
        fresh = old.keys() ^ new.keys()  # images that are added or removed come first
        return cause, tuple(sorted(joined | left, key=lambda other: (other not in fresh, other)))
    edited = [other for other in there.group if old[other].digest != new[other].digest]
    if edited:
        return PIXELS, tuple(sorted(edited))
    return None


@dataclass(frozen=True, slots=True)
class _Flows:
    """The changed images that entered and left each split of a class, and all of a class."""

    entered: dict[tuple[str, str], list[str]]
    left: dict[tuple[str, str], list[str]]
    all: dict[str, list[str]]


def _flows(changed: Iterable[str], old: dict[str, _Image], new: dict[str, _Image]) -> _Flows:
    flows = _Flows(defaultdict(list), defaultdict(list), defaultdict(list))
    for name in sorted(changed):
        here, there = old.get(name), new.get(name)
        source = (here.label, here.split) if here else None
        target = (there.label, there.split) if there else None
        if source == target:
            continue
        if source:
            flows.left[source].append(name)
        if target:
            flows.entered[target].append(name)
        for label in {place[0] for place in (source, target) if place}:
            flows.all[label].append(name)
    return flows


def _displacing(
    name: str, old: dict[str, _Image], new: dict[str, _Image], flows: _Flows
) -> tuple[str, ...]:
    """Return the changed images that displace an image: they take its place, or leave one."""
    source, target = old[name].split, new[name].split
    classes = sorted({new[other].label for other in new[name].group})
    by = [
        other
        for label in classes
        for other in (
            *flows.entered.get((label, source), []),
            *flows.left.get((label, target), []),
        )
    ]
    if not by and "test" in (source, target):  # the least number of images in another split
        by = [other for label in classes for other in flows.all.get(label, [])]
    return tuple(dict.fromkeys(by))
