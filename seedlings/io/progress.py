"""Progress bars, with fewer updates in a log than in a terminal."""

import sys
from collections.abc import Iterable, Sized
from typing import Any

from tqdm import tqdm


def bar(
    items: Iterable[Any] | None, what: str, *, unit: str, total: int | None = None, done: int = 0
) -> "tqdm[Any]":
    """Return a progress bar over `items`; without a terminal it prints a line every 10 seconds.

    Nothing is printed if there are no items. `done` is the number of items of the `total` that an
    earlier run has processed.
    """
    pause = 0.1 if sys.stderr.isatty() else 10.0
    count = len(items) if total is None and isinstance(items, Sized) else total
    return tqdm(
        items,
        desc=what,
        unit=unit,
        total=total,
        initial=done,
        mininterval=pause,
        maxinterval=pause,
        disable=count == 0,
    )
