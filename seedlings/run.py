"""The launcher of a stage: `python -m seedlings.run NAME`.

It validates params.yaml, runs the stage, and sends its start, epochs and end to the run logger, a
separate process. Stages do not depend on it in dvc.yaml, because it changes no output. It imports
no library that reads the settings of the processor, because the stage sets them.
"""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from seedlings import params, processor
from seedlings.cluster import engine
from seedlings.config import pipeline, stage
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError

_TRACKING = "SEEDLINGS_TRACKING"
_TRIAL = "SEEDLINGS_TRIAL"
_LOGGER = (sys.executable, "-m", "seedlings.tracking.run_logger")


def main() -> None:
    """Run the stage in the first argument; print a SeedlingsError without a traceback."""
    name = sys.argv[1]
    try:
        values = params.load()
        if values.portable:
            processor.pin()
            processor.check()
        stage.run(
            name, _observer(), values=values, pipeline=pipeline.read(), engine=engine.choose()
        )
    except SeedlingsError as error:
        sys.exit(f"\n{name}: {error}")
    except OSError as error:
        if not _is_full(error):
            raise
        sys.exit(
            f"\n{name}: expected room for its outputs, found the disk full ({error}); "
            "free some space and run `dvc repro` again: incomplete outputs are not used"
        )


def _observer() -> stage.Observer:
    """Return the observer that logs in MLflow, or one without effect if SEEDLINGS_TRACKING=off."""
    setting = os.environ.get(_TRACKING, "on")
    if setting not in ("on", "off"):
        raise SeedlingsError(f"{_TRACKING}: expected `on` or `off`, found {setting!r}")
    tracked = _logged if setting == "on" else lambda record: nullcontext()
    folder = os.environ.get(_TRIAL)
    return partial(_watched, tracked, Path(folder)) if folder else tracked


@contextmanager
def _watched(observe: stage.Observer, folder: Path, record: Record) -> Iterator[None]:
    """Append the epochs of a trial of a search to `epochs` in a folder; end it for a file `stop`.

    The search reads the epochs, and asks with `stop` that a training ends that the pruner refuses.
    """
    with observe(record):
        log = record.on_epoch

        def tell(epoch: int, values: Mapping[str, float]) -> None:
            if log:
                log(epoch, values)
            with (folder / "epochs").open("a", encoding="utf-8") as file:
                print(json.dumps(dict(values)), file=file)
            if (folder / "stop").exists():
                raise SeedlingsError(f"the search stops this trial after epoch {epoch}")

        if record.stage == "finetune":
            record.on_epoch = tell
        yield


@contextmanager
def _logged(record: Record) -> Iterator[None]:
    """Send the start, epochs and end of a stage to the run logger, a separate process.

    The run logger prints a warning if MLflow fails; if it ends early, the stage continues.
    """
    logger = subprocess.Popen(_LOGGER, stdin=subprocess.PIPE, text=True)
    with suppress(ProcessLookupError):  # it imports MLflow while the stage imports its libraries
        os.setpriority(os.PRIO_PROCESS, logger.pid, 15)

    def send(message: Mapping[str, Any]) -> None:
        with suppress(BrokenPipeError):  # the run logger has ended with a message
            print(json.dumps(message), file=logger.stdin, flush=True)

    try:
        with reported(record, send):
            yield
    finally:
        logger.communicate()


@contextmanager
def reported(record: Record, send: Callable[[Mapping[str, Any]], None]) -> Iterator[None]:
    """Send the messages of a stage to the run logger: its start, its epochs, and `finished`.

    Without the last message, the run logger marks the run as failed.
    """
    send({"stage": record.stage, "params": record.params, "reads": record.reads})
    record.on_epoch = lambda epoch, values: send({"epoch": epoch, "values": dict(values)})
    yield
    send({"finished": True})


def _is_full(error: OSError) -> bool:
    """Return whether an error says that the disk, or the quota of the user, is full."""
    if error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    text = str(error)  # HDF5 and NumPy raise OSError without errno
    return os.strerror(errno.ENOSPC) in text or "requested and" in text


if __name__ == "__main__":
    main()
