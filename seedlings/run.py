"""The launcher of a stage: `python -m seedlings.run NAME`.

It validates params.yaml, runs the stage, and writes its start, epochs and end to a file for the run
logger, a separate process. Stages do not depend on it in dvc.yaml, because it changes no output. It
imports no library that reads the settings of the processor, because the stage sets them.
"""

import errno
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from seedlings import params, processor
from seedlings.cluster import engine
from seedlings.config import params as config
from seedlings.config import paths, pipeline, records, stage
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.report import summaries
from seedlings.tracking import messages

_TRACKING = "SEEDLINGS_TRACKING"
_TRIAL = "SEEDLINGS_TRIAL"


def main() -> None:
    """Run the stage in the first argument; print expected errors without a traceback."""
    name = sys.argv[1]
    try:
        tree = config.read()
        values = params.check(tree)
        if values.portable:
            processor.pin()
            processor.check()
        stage.run(
            name, _observer(tree), values=values, pipeline=pipeline.read(), engine=engine.choose()
        )
        if name == pipeline.FINAL_STAGE:
            record = records.read(paths.record(name))
            print(f"{name}: {summaries.result(record.metrics, values.evaluate.split)}")
    except SeedlingsError as error:
        sys.exit(f"\n{name}: {error}")
    except OSError as error:
        if not _is_full(error):
            raise
        sys.exit(
            f"\n{name}: expected room for its outputs, found the disk full ({error}); "
            "free some space and run `dvc repro` again: incomplete outputs are not used"
        )
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; `dvc repro` continues", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def _observer(tree: Mapping[str, Any]) -> stage.Observer:
    """Return the observer that logs in MLflow, or one without effect if SEEDLINGS_TRACKING=off."""
    setting = os.environ.get(_TRACKING, "on")
    if setting not in ("on", "off"):
        raise SeedlingsError(f"{_TRACKING}: expected `on` or `off`, found {setting!r}")
    tracked = partial(_logged, tree) if setting == "on" else lambda record: nullcontext()
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
def _logged(tree: Mapping[str, Any], record: Record) -> Iterator[None]:
    """Write the start, epochs and end of a stage to a file for the run logger, and start it.

    The stage does not wait for the run logger, unless it runs in a temporary folder of DVC, which
    DVC removes. The run logger's warnings are printed by the next stage.
    """
    with messages.written(record.stage) as (path, file):

        def send(message: Mapping[str, Any]) -> None:
            print(json.dumps(message), file=file, flush=True)

        with reported(tree, record, send):
            messages.start_reader()
            yield
    if paths.home() != Path.cwd():
        messages.wait(path)
    messages.show_warnings()


@contextmanager
def reported(
    tree: Mapping[str, Any], record: Record, send: Callable[[Mapping[str, Any]], None]
) -> Iterator[None]:
    """Send the messages of a stage to the run logger: its start, its epochs, and `finished`.

    Each has the time in milliseconds, and the last one the digest of the record. Without the last
    one, the run logger marks the run as failed.
    """

    def now() -> int:
        return time.time_ns() // 1_000_000

    start = {"stage": record.stage, "params": record.params, "reads": record.reads}
    send({**start, "tree": tree, "time": now()})
    record.on_epoch = lambda epoch, values: send(
        {"epoch": epoch, "values": dict(values), "time": now()}
    )
    yield
    written = hashlib.sha256(paths.record(record.stage).read_bytes()).hexdigest()
    send({"finished": written, "time": now()})


def _is_full(error: OSError) -> bool:
    """Return whether an error says that the disk, or the quota of the user, is full."""
    if error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    text = str(error)  # HDF5 and NumPy raise OSError without errno
    return os.strerror(errno.ENOSPC) in text or "requested and" in text


if __name__ == "__main__":
    main()
