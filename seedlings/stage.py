"""The stage: what surrounds the short story that each script tells."""

import errno
import os
import sys
from collections.abc import Callable

from seedlings import layout, live, params, pipeline
from seedlings.errors import SeedlingsError
from seedlings.params import Params
from seedlings.records import Record


def _is_full(error: OSError) -> bool:
    """Whether the disk, or the share of it that the user may fill, is full."""
    if error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    text = str(error)  # HDF5 and NumPy raise it without a number
    return os.strerror(errno.ENOSPC) in text or "requested and" in text


def stage(name: str) -> Callable[[Callable[[Params, Record], None]], Callable[[], None]]:
    """Make a function of (its parameters, its record) the stage `name`.

    Parameters are checked before anything is done, the run is shown in MLflow, and the record is
    written at the end. The function sees the parameters that dvc.yaml declares for the stage and
    no others. An error that a user can act on is printed without a traceback; the exit code is 1.
    """

    def decorate(main: Callable[[Params, Record], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                everything = params.load()
                mine = params.only(everything, pipeline.sections(name))
                own = pipeline.declared(name, params.flatten(params.read()))
                record = Record(name, own, pipeline.reads(name))
                with live.following(record, everything):
                    main(mine, record)
                    record.write(layout.record(name))
            except SeedlingsError as error:
                sys.exit(f"\n{name}: {error}")
            except OSError as error:
                if not _is_full(error):
                    raise
                sys.exit(
                    f"\n{name}: expected room for its outputs, found the disk full ({error}); "
                    "make room and run `dvc repro` again: nothing that is half-written is used"
                )

        return run

    return decorate
