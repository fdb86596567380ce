"""Path filters: which files systems leave behind, and which names cannot be used."""

import unicodedata
from pathlib import PurePosixPath

# Files of systems and tools; so are all names that begin with a dot.
_LEFTOVERS = {"__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir"}


def is_leftover(path: PurePosixPath) -> bool:
    """Whether a system or tool left this behind: .DS_Store, ._name, .git, __MACOSX, Thumbs.db."""
    return any(part in _LEFTOVERS or part.startswith(".") for part in path.parts)


def flaw_of(name: str) -> str | None:
    """What makes a file's name unusable in a table or a picture, or None."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        return "holds a control character, such as a line break"
    return None
