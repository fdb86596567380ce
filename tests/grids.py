"""Image grids that a test looks into."""

import pytest

from seedlings.plots import image_grid
from seedlings.plots.image_grid import Row


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[list[Row]]:
    """The rows of every image grid that is drawn from now on, which is drawn as before."""
    seen: list[list[Row]] = []
    draw = image_grid.draw
    monkeypatch.setattr(
        image_grid, "draw", lambda rows, **o: (seen.append(list(rows)), draw(rows, **o))[1]
    )
    return seen
