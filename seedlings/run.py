"""The launcher of a stage: `python -m seedlings.run NAME`.

It is the only place where a stage and MLflow meet. It checks all of params.yaml, runs the stage, and
passes on what happens to a process of its own that logs it in MLflow. It changes no output, so it is
no dependency of a stage.
"""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from seedlings import params
from seedlings.config import stage
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError

_TRACKING = "SEEDLINGS_TRACKING"
_LOGGER = (sys.executable, "-m", "seedlings.tracking.run_logger")


def main() -> None:
    """Run the stage that the command line names; an expected error is shown without a traceback."""
    name = sys.argv[1]
    try:
        params.load()
        stage.run(name, _observer())
    except SeedlingsError as error:
        sys.exit(f"\n{name}: {error}")
    except OSError as error:
        if not _is_full(error):
            raise
        sys.exit(
            f"\n{name}: expected room for its outputs, found the disk full ({error}); "
            "make room and run `dvc repro` again: no half-written output is used"
        )


def _observer() -> stage.Observer:
    """Return the run logger, or nothing where SEEDLINGS_TRACKING is `off`."""
    setting = os.environ.get(_TRACKING, "on")
    if setting not in ("on", "off"):
        raise SeedlingsError(f"{_TRACKING}: expected `on` or `off`, found {setting!r}")
    return _logged if setting == "on" else lambda record: nullcontext()


@contextmanager
def _logged(record: Record) -> Iterator[None]:
    """Pass a stage's start, epochs and end on to the run logger, a process of its own.

    That process warns where MLflow fails. Where it ends too early, the stage goes on.
    """
    logger = subprocess.Popen(_LOGGER, stdin=subprocess.PIPE, text=True)

    def send(message: Mapping[str, Any]) -> None:
        with suppress(BrokenPipeError):  # the logger has ended, and has said why
            print(json.dumps(message), file=logger.stdin, flush=True)

    send({"stage": record.stage, "params": record.params, "reads": record.reads})
    record.on_epoch = lambda epoch, values: send({"epoch": epoch, "values": dict(values)})
    try:
        yield
        send({"finished": True})
    finally:  # without the message above, the run is marked as failed
        logger.communicate()


def _is_full(error: OSError) -> bool:
    """Return whether the disk, or the share of it that the user may fill, is full."""
    if error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    text = str(error)  # HDF5 and NumPy raise it without a number
    return os.strerror(errno.ENOSPC) in text or "requested and" in text


if __name__ == "__main__":
    main()
