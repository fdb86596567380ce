"""The run of a stage in MLflow, made from its record, by the run logger and by sync alike."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedlings import presets
from seedlings.config import paths, pipeline, records
from seedlings.config.records import Record
from seedlings.data.sources import SOURCES
from seedlings.tracking.client import Tracker
from seedlings.tracking.tags import CHANGED, RECORD, STAGE

_TRAINED = ("baseline", "finetune")  # stages with curves
_LONGEST = 80  # characters of a name
_LONGEST_TAG = 5000  # characters; MLflow refuses more than 8,000


def name(tree: Mapping[str, Any]) -> str:
    """Return the name of the run of a revision: its preset, and what was edited."""
    preset, changed = presets.label(tree)
    text = f"{preset}: {changed}" if changed else preset
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def changed(tree: Mapping[str, Any]) -> dict[str, str]:
    """Return the tag with the parameters that differ from those of the preset, if there are any."""
    text = presets.label(tree)[1]
    return {CHANGED: text[:_LONGEST_TAG]} if text else {}


def start(
    tracker: Tracker,
    record: Record,
    parent: str,
    *,
    deps: Mapping[str, str],
    tags: Mapping[str, str],
    time: int | None = None,
) -> str:
    """Start the run of a stage, a child of the run of its revision, and return its id.

    `record` has the parameters; `deps` are DVC's hashes of the deps of the stage other than code;
    `time` is in milliseconds, by default now.
    """
    tags = {STAGE: record.stage, **tags}
    run = tracker.start(record.stage, tags=tags, params=record.params, parent=parent, time=time)
    tracker.log_hashes(run, _inputs(record, deps), record.stage)
    return run


def finish(tracker: Tracker, run: str, parent: str, stage: str, root: Path) -> None:
    """Log the record of a stage, its metrics and its figures, which are below `root`.

    The run of the revision has the figures of all stages and, from the stage evaluate, its metrics
    and the curves of the trained models.
    """
    file = root / paths.record(stage)
    record = records.read(file)
    tracker.log_metrics(run, record.metrics)
    tracker.log_artifact(run, str(file))
    for figure in record.pictures:
        for one in (run, parent):
            tracker.log_artifact(one, str(root / figure), f"pictures/{stage}")
    if stage == pipeline.FINAL_STAGE:
        tracker.log_metrics(parent, record.metrics)  # MLflow compares runs by the first metric
        for trained in _TRAINED:  # evaluate has a metric `baseline/accuracy`
            curves = records.read(root / paths.record(trained)).curves
            tracker.log_curves(parent, curves, f"epochs/{trained}/")
    tracker.set_tags(run, {RECORD: record_digest(file)})


def record_digest(file: Path) -> str:
    """Return the SHA-256 of a record file, 64 hex digits; equal results have equal digests."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _inputs(record: Record, deps: Mapping[str, str]) -> Mapping[str, str]:
    """Return the hashes of the inputs of a stage: of `deps`, or of the source of the data."""
    if record.stage != pipeline.FIRST_STAGE:
        return deps
    source, url = record.params["data.source"], record.params["data.url"]
    by_params = hashlib.sha256(json.dumps(record.params, sort_keys=True).encode()).hexdigest()
    if "path" not in SOURCES[source].reads:
        return {source: by_params}
    return {url: record.params["data.checksum"] or by_params} if url else deps
