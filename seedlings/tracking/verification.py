"""Verification: compares the outputs and metrics of a rebuild with those of dvc.lock."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from seedlings import tasks
from seedlings.config import paths, pipeline, records, reuse, yaml_files
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.report import summaries
from seedlings.tracking import git, revisions

# Outputs that no tolerance applies to: with others, the metrics are those of other images.
_EVALUATED_IMAGES = (paths.RAW.as_posix(), paths.SPLIT.as_posix())
_MODELS = ("baseline", "finetuned")
_ROUNDING = 1e-6  # of an evaluated image


@dataclass(frozen=True, slots=True)
class Agreement:
    """The main metric of each model in a rebuild, beside that of dvc.lock."""

    bound: str  # the largest difference, in words
    lines: list[str] = field(default_factory=list)  # of the metrics that agree
    disagreeing: list[str] = field(default_factory=list)  # why they do not agree


@dataclass(frozen=True, slots=True)
class Verification:
    """The outputs of a rebuild that differ from dvc.lock, in stage order, and their metrics.

    An entry names a stage and an output, or the first file in it that differs if both caches have
    it. `agreement` is None if nothing differs.
    """

    outputs: int
    differing: list[str]
    agreement: Agreement | None

    @property
    def is_exact(self) -> bool:
        """Return whether all bytes are the same."""
        return not self.differing


def is_portable() -> bool:
    """Return the parameter `portable` of HEAD; False if it has none."""
    tree = yaml_files.parse(git.ask("show", f"HEAD:{paths.PARAMS}")) or {}
    return bool(tree.get("portable", False))


def verify() -> Verification:
    """Run every stage of HEAD again in a clone, and compare its outputs with dvc.lock.

    Raises SeedlingsError if HEAD has no dvc.lock, or the rebuild fails.
    """
    commit = git.ask("rev-parse", "HEAD")
    expected = _hashes(git.ask("show", f"{commit}:{paths.LOCK}"))
    if not expected:
        raise SeedlingsError(f"expected a committed {paths.LOCK}, found none: commit one first")
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "clone"
        _run("git", "clone", "--quiet", str(here), str(clone))
        _run("git", "-C", str(clone), "checkout", "--quiet", commit)
        _run("dvc", "repro", "--force", folder=clone)
        found = _hashes((clone / paths.LOCK).read_text(encoding="utf-8"))
        differing = [output for output, md5 in expected.items() if found.get(output) != md5]
        return Verification(
            outputs=len(expected),
            differing=[
                _name(*output, expected[output], found.get(output, "nothing"), (here, clone))
                for output in differing
            ],
            agreement=_agreement([path for _, path in differing], clone, Path(name)),
        )


def _hashes(lock: str) -> dict[tuple[str, str], str]:
    """Return the hash of each output in the text of a dvc.lock, by its stage and path."""
    stages = pipeline.parse_stages(lock).items()
    return {
        (stage, out["path"]): out["md5"] for stage, entry in stages for out in entry.get("outs", [])
    }


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


def _agreement(differing: list[str], clone: Path, folder: Path) -> Agreement | None:
    """Return the agreement of the metrics, if outputs differ."""
    if not differing:
        return None
    record = paths.record(pipeline.FINAL_STAGE)
    found = records.read(clone / record)
    if others := [path for path in differing if path in _EVALUATED_IMAGES]:
        images = f"{summaries.split(found.params)} images"
        return Agreement(
            f"the same {images}", [], [f"the {images} are others: {', '.join(others)}"]
        )
    try:
        revisions.at("HEAD").get([record], folder / "expected")
    except SeedlingsError as error:
        return Agreement(
            "the metrics of dvc.lock", [], [f"the metrics cannot be compared: {error}"]
        )
    return compare(records.read(folder / "expected" / record), found)


def _name(stage: str, path: str, expected: str, found: str, roots: tuple[Path, Path]) -> str:
    with reuse.repository(roots[0]) as here, reuse.repository(roots[1]) as clone:
        ours = reuse.cached(here.cache.local, expected) or {}
        theirs = reuse.cached(clone.cache.local, found) or {}
    hashes = [{name: path.name for name, path in side.items()} for side in (ours, theirs)]
    if all(hashes):
        for inner in sorted({*ours, *theirs}):
            if hashes[0].get(inner) != hashes[1].get(inner):
                return f"{stage}: {path}/{inner}"
    return f"{stage}: {path} (expected {expected}, found {found})"


def _run(*command: str, folder: Path | None = None) -> None:
    # A rebuild is not logged, and reuses nothing, even if it shares the cache.
    env = {**os.environ, "SEEDLINGS_TRACKING": "off", "SEEDLINGS_REUSE": "off"}
    done = subprocess.run(command, cwd=folder, env=env, stdout=sys.stderr, check=False)
    if done.returncode:
        raise SeedlingsError(f"`{' '.join(command)}` failed in a clone; its output is above")
