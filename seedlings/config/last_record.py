"""The record of the last run of a stage, in DVC's cache, under the hash of dvc.lock.

DVC removes the record in the workspace before it runs the stage again.
"""

from seedlings.config import earlier, paths, pipeline, records
from seedlings.config.records import Record


def read(stage: str) -> Record | None:
    """Return the record, or None if dvc.lock or the cache does not have it."""
    entry = pipeline.locked().get(stage, {})
    hashes = {out["path"]: out["md5"] for out in entry.get("outs", [])}
    file = paths.record(stage)
    digest, cache = hashes.get(file.parent.as_posix()), earlier.find_cache()
    if digest is None or cache is None:
        return None
    files = earlier.listing(cache, digest) or {}
    if file.name not in files:
        return None
    path = earlier.cached(cache, files[file.name])
    return records.read(path) if path.is_file() else None
