"""Verification: compares the outputs of a rebuild with the hashes in dvc.lock."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from seedlings.config import earlier, paths, pipeline
from seedlings.errors import SeedlingsError
from seedlings.tracking import git


def verify() -> list[str]:
    """Run every stage of HEAD again in a clone; return the outputs that differ, in stage order.

    Each entry names a stage and an output, or the first file in it that differs if both caches have
    it. Raises SeedlingsError if HEAD has no dvc.lock, or the rebuild fails.
    """
    commit = git.ask("rev-parse", "HEAD")
    expected = pipeline.parse_stages(git.ask("show", f"HEAD:{paths.LOCK}"))
    if not expected:
        raise SeedlingsError(f"expected a committed {paths.LOCK}, found none: commit one first")
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "clone"
        _run("git", "clone", "--quiet", str(here), str(clone))
        _run("git", "-C", str(clone), "checkout", "--quiet", commit)
        _run("dvc", "repro", "--force", folder=clone)
        found = pipeline.parse_stages((clone / paths.LOCK).read_text(encoding="utf-8"))
        return [
            _name(stage, path, expected_md5, found_md5, (here, clone))
            for stage in expected
            for path, expected_md5, found_md5 in _differing(expected[stage], found.get(stage, {}))
        ]


def _differing(expected: dict[str, Any], found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the outputs of a stage that differ: path, expected hash, found hash."""
    hashes = {out["path"]: out["md5"] for out in found.get("outs", [])}
    return [
        (out["path"], out["md5"], hashes.get(out["path"], "nothing"))
        for out in expected.get("outs", [])
        if hashes.get(out["path"]) != out["md5"]
    ]


def _name(stage: str, path: str, expected: str, found: str, roots: tuple[Path, Path]) -> str:
    caches = [root / ".dvc" / "cache" / "files" / "md5" for root in roots]
    ours, theirs = earlier.listing(caches[0], expected), earlier.listing(caches[1], found)
    if ours is not None and theirs is not None:
        for inner in sorted({*ours, *theirs}):
            if ours.get(inner) != theirs.get(inner):
                return f"{stage}: {path}/{inner}"
    return f"{stage}: {path} (expected {expected}, found {found})"


def _run(*command: str, folder: Path | None = None) -> None:
    # A rebuild is not logged, and takes nothing over, even if it shares the cache.
    env = {**os.environ, "SEEDLINGS_TRACKING": "off", "SEEDLINGS_REUSE": "off"}
    done = subprocess.run(command, cwd=folder, env=env, stdout=sys.stderr, check=False)
    if done.returncode:
        raise SeedlingsError(f"`{' '.join(command)}` failed in a clone; its output is above")
