"""The files that the page reads: whether they are there, and whether they have changed."""

from seedlings.config import paths, records
from seedlings.errors import SeedlingsError
from seedlings.tasks import TASKS, Task

_ROWS = "rows.npy"
_FILES = (
    paths.SPLIT,
    paths.record("split"),
    paths.IMAGES / _ROWS,
    paths.FEATURES / _ROWS,
    paths.PACKAGED / paths.BUNDLE,
    paths.OUTPUTS,
    paths.record("evaluate"),
)


def version() -> tuple[int, ...]:
    """Return numbers that differ after each run of the pipeline.

    Raises SeedlingsError if the results of a stage are missing.
    """
    missing = [str(path) for path in _FILES if not path.exists()]
    if missing:
        raise SeedlingsError(
            f"expected the results of the pipeline, found no {', '.join(missing)}; run `dvc repro` "
            "to create them or `dvc pull` to download them"
        )
    return tuple(path.stat().st_mtime_ns for path in _FILES)


def task() -> Task:
    """Return the task of the evaluated model."""
    return TASKS[records.read(paths.record("evaluate")).params["task"]]
