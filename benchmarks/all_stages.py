"""Run all stages of the project in the current folder, in this one process: `on` or `off`.

The argument says whether the settings of `seedlings.processor` are set.
"""

import os
import sys
import time
from contextlib import nullcontext

from seedlings import processor


def main() -> None:
    if sys.argv[1] == "on":
        processor.pin()
    else:
        for name in processor.SETTINGS:
            os.environ.pop(name, None)
        processor.SETTINGS = {}  # a stage sets none, whatever `portable` is
    from seedlings.config import pipeline, stage  # after the settings, which the libraries read

    for name in pipeline.stages():
        start = time.perf_counter()
        stage.run(name, lambda record: nullcontext())
        print(f"{name} {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
