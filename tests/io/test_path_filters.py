from pathlib import PurePosixPath

import pytest

from seedlings.io.path_filters import is_leftover


@pytest.mark.parametrize(
    "path",
    [
        ".DS_Store",
        "Maize/._1.png",
        "__MACOSX/Maize/1.png",
        "Maize/Thumbs.db",
        "Maize/thumbs.db",
        "@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg",
        ".git/objects/1.png",
        ".Trash-1000/files/1.png",
        "Maize/.gitkeep",
        "Maize/.nfs0000000001",
    ],
)
def test_what_systems_and_tools_leave_is_known_by_its_name(path: str) -> None:
    assert is_leftover(PurePosixPath(path))


@pytest.mark.parametrize(
    "path",
    [".NET/1.png", "Maize/.5mm.png", ".hidden/1.png", "Maize/.notes", "git/1.png", "a/_.png"],
)
def test_other_names_are_kept_even_if_they_begin_with_a_dot(path: str) -> None:
    assert not is_leftover(PurePosixPath(path))
