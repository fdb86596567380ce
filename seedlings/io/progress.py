"""Progress bars: lively in a terminal, sparse in a log."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def bar(
    items: Iterable[Any] | None, what: str, *, unit: str, total: int | None = None, done: int = 0
) -> "tqdm[Any]":
    """A bar over `items` with rate and time left; where no one watches, a line every 10 seconds.

    `done` of the `total` were done before.
    """
    pause = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(
        items, desc=what, unit=unit, total=total, initial=done, mininterval=pause, maxinterval=pause
    )
