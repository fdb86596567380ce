"""Keys of the page: those of the classes or tags, and those of the other decisions."""

import string
from collections.abc import Mapping, Sequence

KEEP = "space"
DROP = "x"
UNDO = "u"
SAVE = "enter"  # of tags
REMOVE = "backspace"
PREVIOUS = "left"
NEXT = "right"
# C clears the cache of Streamlit, and R runs the page again.
_TAKEN = {DROP, UNDO, "c", "r"}
_FREE = [*"123456789", *(letter for letter in string.ascii_lowercase if letter not in _TAKEN)]


def of(names: Sequence[str]) -> Mapping[str, str | None]:
    """Return the key of each name, in their order: 1 to 9, then letters, then none."""
    free = iter(_FREE)
    return {name: next(free, None) for name in names}
