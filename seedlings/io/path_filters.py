"""Path filters: files of operating systems and tools, and file names that cannot be used."""

import unicodedata
from pathlib import PurePosixPath

# Names that begin with a dot are leftovers as well.
_LEFTOVERS = {"__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir"}


def is_leftover(path: PurePosixPath) -> bool:
    """Return whether a path belongs to a system or tool: .DS_Store, .git, __MACOSX, Thumbs.db."""
    return any(part in _LEFTOVERS or part.startswith(".") for part in path.parts)


def flaw_of(name: str) -> str | None:
    """Return why a file name cannot be used in a table or a figure, or None."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        return "holds a control character, such as a line break"
    return None
