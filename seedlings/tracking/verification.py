"""Verification: compares the outputs and metrics of a rebuild with those of dvc.lock."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from seedlings import tasks
from seedlings.config import paths, pipeline, records, reuse
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.report import summaries
from seedlings.tracking.revisions import Revision

# Outputs that no tolerance applies to: with others, the metrics are those of other images.
_EVALUATED_IMAGES = (paths.RAW.as_posix(), paths.SPLIT.as_posix())
_MODELS = ("baseline", "finetuned")
_ROUNDING = 1e-6  # of an evaluated image


@dataclass(frozen=True, slots=True)
class Agreement:
    """The main metric of each model in a rebuild, beside that of dvc.lock."""

    bound: str = ""  # the largest difference, in words
    lines: list[str] = field(default_factory=list)  # of the metrics that agree
    disagreeing: list[str] = field(default_factory=list)  # why they do not agree


@dataclass(frozen=True, slots=True)
class Verification:
    """The outputs of a rebuild that differ from dvc.lock, in stage order, and their metrics.

    An entry of `differing` names a stage and an output, or the first file in it that differs if
    both caches have it. `agreement` is empty if nothing differs.
    """

    outputs: int
    differing: list[str]
    agreement: Agreement


def verify(revision: Revision) -> Verification:
    """Run every stage of a commit again in a clone, and compare its outputs with dvc.lock.

    Raises SeedlingsError if the rebuild fails.
    """
    differing = {}
    with tempfile.TemporaryDirectory() as name:
        here, clone = Path.cwd(), Path(name) / "clone"
        _run("git", "clone", "--quiet", str(here), str(clone))
        _run("git", "-C", str(clone), "checkout", "--quiet", revision.commit)
        _run("dvc", "repro", "--force", folder=clone)
        lock = pipeline.parse_stages((clone / paths.LOCK).read_text(encoding="utf-8"))
        rebuilt = Revision(lock, revision.tree).outputs
        for stage in revision.lock:
            for path, expected in revision.hashes(stage).items():
                found = rebuilt.get(path, "nothing")
                if found != expected:
                    file = _first_difference(path, expected, found, (here, clone))
                    differing[path] = f"{stage}: {file}"
        agreement = _agreement(revision, clone, differing) if differing else Agreement()
        return Verification(len(revision.outputs), list(differing.values()), agreement)


def compare(expected: Record, found: Record) -> Agreement:
    """Return whether the main metrics of two records of the stage evaluate agree.

    The metrics agree if they differ by no more than one evaluated image can change them: for a mean
    of N values from 0 to 1, such as the accuracy or the mean F2 of N images, by 1 / N. An error has
    no largest value; there it is the mean share of an image, the error / N.
    """
    count = int(expected.metrics["images"])
    main = next(iter(expected.metrics)).rpartition("/")[2]
    is_share = tasks.metrics()[main].is_share
    what = "one" if is_share else "the mean share of one"
    images = f"{summaries.split(found.params)} images"
    agreement = Agreement(f"{what} of {count} {images}")
    if found.metrics["images"] != count:
        there = f"{found.metrics['images']:.0f}"
        agreement.disagreeing.append(f"there are {there} {images}, in {paths.LOCK} {count}")
        return agreement
    for model in _MODELS:
        before, after = (side.metrics[f"{model}/{main}"] for side in (expected, found))
        line = f"{model}/{main} is {after:.6g}, in {paths.LOCK} {before:.6g}"
        largest = 1.0 if is_share else before  # the change of the sum over the images
        agrees = abs(after - before) * count <= largest * (1.0 + _ROUNDING)
        (agreement.lines if agrees else agreement.disagreeing).append(line)
    return agreement


def _agreement(revision: Revision, clone: Path, differing: Iterable[str]) -> Agreement:
    """Return the agreement of the metrics, given the paths of the outputs that differ."""
    record = paths.record(pipeline.FINAL_STAGE)
    found = records.read(clone / record)
    if others := [path for path in differing if path in _EVALUATED_IMAGES]:
        reason = f"the {summaries.split(found.params)} images are others: {', '.join(others)}"
        return Agreement(disagreeing=[reason])
    try:
        with revision.files([record]) as folder:
            expected = records.read(folder / record)
    except SeedlingsError as error:
        return Agreement(disagreeing=[f"the metrics cannot be compared: {error}"])
    return compare(expected, found)


def _first_difference(path: str, expected: str, found: str, roots: tuple[Path, Path]) -> str:
    """Return the first file in an output that differs, or the output with its two hashes."""
    hashes = []
    for root, digest in zip(roots, (expected, found), strict=True):
        with reuse.repository(root) as repo:
            files = reuse.cached(repo.cache.local, digest) or {}
        hashes.append({name: file.name for name, file in files.items()})
    ours, theirs = hashes
    if ours and theirs:
        for inner in sorted({*ours, *theirs}):
            if ours.get(inner) != theirs.get(inner):
                return f"{path}/{inner}"
    return f"{path} (expected {expected}, found {found})"


def _run(*command: str, folder: Path | None = None) -> None:
    # A rebuild is not logged, and reuses nothing, even if it shares the cache.
    env = {**os.environ, "SEEDLINGS_TRACKING": "off", "SEEDLINGS_REUSE": "off"}
    done = subprocess.run(command, cwd=folder, env=env, stdout=sys.stderr, check=False)
    if done.returncode:
        raise SeedlingsError(f"`{' '.join(command)}` failed in a clone; its output is above")
