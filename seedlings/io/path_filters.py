"""Path filters: files of operating systems and tools, and file names that cannot be used."""

import unicodedata
from pathlib import PurePosixPath

# Names of files and folders in small letters, and beginnings of names.
_SYSTEMS = """
    .appledouble .apdisk .directory .documentrevisions-v100 .ds_store .fseventsd .lsoverride
    .spotlight-v100 .temporaryitems .thumbnails .trashes .volumeicon.icns
    $recycle.bin @eadir #recycle __macosx desktop.ini ehthumbs.db lost+found thumbs.db
"""
_TOOLS = """
    .dvc .dvcignore .git .gitattributes .github .gitignore .gitkeep .gitmodules .hg .hgignore .svn
    .idea .ipynb_checkpoints .keep .nomedia .picasa.ini .stfolder .vscode
"""
_NAMES = {*_SYSTEMS.split(), *_TOOLS.split(), "system volume information"}
_BEGINNINGS = ("._", ".#", ".~lock.", ".fuse_hidden", ".nfs", ".trash-")


def is_leftover(path: PurePosixPath) -> bool:
    """Return whether a path has a part that systems and tools leave: .DS_Store, ._x, Thumbs.db."""
    names = [part.lower() for part in path.parts]
    return any(name in _NAMES or name.startswith(_BEGINNINGS) for name in names)


def flaw_of(name: str) -> str | None:
    """Return why a file name cannot be used in a table or a figure, or None."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name):
        return "holds a control character, such as a line break"
    return None
