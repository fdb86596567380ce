"""What the world may send: bytes, archives, parameters and annotations at random.

FUZZ_EXAMPLES says how many of each; `make fuzz` takes 30,000.
"""

import copy
import functools
import io
import os
import shlex
import shutil
import tarfile
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from dvc.utils.serialize import loads_yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from imports import ROOT
from PIL import Image as PillowImage

from seedlings import images, params, presets
from seedlings.config import params as sections
from seedlings.config import yaml_files
from seedlings.data import annotations, archives
from seedlings.data.params import Annotations
from seedlings.errors import SeedlingsError
from seedlings.images import BadImageError
from seedlings.params import Params
from seedlings.tasks import TASKS

pytestmark = pytest.mark.slow
many = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "300")),
    deadline=None,
    database=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def empty() -> Iterator[Callable[[], Path]]:
    """A folder that is emptied for each input."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)

        def clear() -> Path:
            for path in root.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            return root

        yield clear


def _encoded() -> list[bytes]:
    """A small picture in each format, and some with an unusual header."""
    picture = PillowImage.fromarray(np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3))
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    found = []
    for kind, image, options in (
        ("PNG", picture, {}),
        ("PNG", picture.convert("P"), {"transparency": 3}),
        ("PNG", picture.convert("RGBA"), {"exif": exif}),
        ("JPEG", picture, {"exif": exif}),
        ("JPEG", picture.convert("CMYK"), {}),
        ("WEBP", picture, {"lossless": True}),
        ("TIFF", picture, {"compression": "tiff_lzw", "exif": exif}),
        ("TIFF", picture.convert("RGBA"), {}),
        ("TIFF", picture.convert("I;16"), {}),
        ("BMP", picture, {}),
        ("GIF", picture, {}),
        ("AVIF", picture, {"exif": exif}),
        ("AVIF", picture.convert("RGBA"), {}),
        ("DDS", picture, {}),
        ("DDS", picture, {"pixel_format": "DXT5"}),
        ("ICO", picture, {"sizes": [(9, 7)]}),
        ("ICO", picture, {"sizes": [(9, 7)], "bitmap_format": "bmp"}),
        ("JPEG2000", picture, {}),
        ("JPEG2000", picture.convert("RGBA"), {"irreversible": True}),
        ("PCX", picture, {}),
        ("PPM", picture, {}),
        ("QOI", picture, {}),
        ("SGI", picture, {}),
        ("TGA", picture, {"compression": "tga_rle"}),
        ("TGA", picture.convert("P"), {}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        found.append(buffer.getvalue())
    return found


ENCODED = _encoded()
EDITS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6)


def edited(data: bytes, edits: list[tuple[int, int]], cut: int) -> bytes:
    """The data with some bytes put in the place of others, cut short by `cut` bytes."""
    changed = bytearray(data)
    for place, value in edits:
        changed[place % len(changed)] = value
    return bytes(changed[: len(changed) - cut])


@many
@given(st.sampled_from(ENCODED), EDITS, st.sampled_from([0, 0, 0, 1, 7, 40]))
def test_bytes_are_an_image_or_a_bad_image(
    data: bytes, edits: list[tuple[int, int]], cut: int
) -> None:
    try:
        picture = images.decode(edited(data, edits, cut))
    except BadImageError:
        return
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert picture.size <= 3 * images.MAX_PIXELS


@many
@given(st.sampled_from(ENCODED), EDITS, st.sampled_from([0, 0, 0, 1, 7, 40]))
def test_bytes_are_an_image_at_every_reduction_or_at_none(
    data: bytes, edits: list[tuple[int, int]], cut: int
) -> None:
    def is_image(least: images.Size | None) -> bool:
        try:
            images.decode(edited(data, edits, cut), least=least)
        except BadImageError:
            return False
        return True

    assert len({is_image(least) for least in (None, (3, 4), (1, 1))}) == 1


PARTS = st.sampled_from(["a", "b.png", "..", ".", "", "/", "\\", "C:", "c\n", "é", "~", "x" * 300])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join) | st.text(max_size=8)
FILES = st.lists(st.tuples(NAMES, st.binary(max_size=30)), max_size=4)


def _zipped(files: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def _tarred(files: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, (name, data) in enumerate(files):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if number % 3 == 2:
                member.type, member.linkname, member.size = tarfile.SYMTYPE, "../..", 0
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@many
@given(st.sampled_from([_zipped, _tarred]), FILES, EDITS, st.sampled_from([0, 0, 0, 5, 600]))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_stays_in_its_folder_or_is_refused(
    empty: Callable[[], Path],
    make: Callable[[list[tuple[str, bytes]]], bytes],
    files: list[tuple[str, bytes]],
    edits: list[tuple[int, int]],
    cut: int,
) -> None:
    try:
        packed = make(files)
    except (ValueError, UnicodeError):  # a name that the format cannot hold
        return
    root = empty()
    (root / "archive").write_bytes(edited(packed, edits, min(cut, len(packed))))
    with suppress(SeedlingsError):
        archives.unpack(
            root / "archive", root / "in" / "it", folder=None, max_files=50, max_bytes=10_000
        )
    assert {path.name for path in root.iterdir()} <= {"archive", "in"}
    inside = [path for path in root.rglob("*") if path.name not in ("archive", "in")]
    assert all(path.resolve().is_relative_to(root.resolve() / "in") for path in inside)
    assert not any(path.is_symlink() for path in inside)


TREE = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
KEYS = [key.split(".") for key in sections.flatten(TREE)]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@many
@given(st.lists(st.tuples(st.sampled_from(KEYS), VALUES), min_size=1, max_size=3))
def test_parameters_are_right_or_refused(changes: list[tuple[list[str], Any]]) -> None:
    tree = copy.deepcopy(TREE)
    for key, value in changes:
        branch = tree
        for name in key[:-1]:
            branch = branch[name] if isinstance(branch.get(name), dict) else {}
        branch[key[-1]] = value
    try:
        checked = params.check(tree)
    except SeedlingsError:
        return
    assert isinstance(checked, Params)


@many
@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_yaml_or_refused(empty: Callable[[], Path], text: str) -> None:
    path = empty() / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SeedlingsError, match="YAML|params.yaml: "):
        params.check(yaml_files.read(path))


PIECES = [*":'\"\\# \n\x85\u20281_e.{", ": ", "- ", "on"]
TEXTS = st.text(st.characters(codec="utf-8")) | st.lists(st.sampled_from(PIECES)).map("".join)


@many
@given(TEXTS)
def test_every_reader_finds_any_text_that_was_written(value: str) -> None:
    tree = {"path": value, "filters": {value: [1]}}
    text = yaml_files.edit("path: data  # a folder\nfilters: null\n", tree)
    for read in (yaml.safe_load, yaml_files.parse, loads_yaml):
        assert read(text) == tree


@pytest.fixture
def parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = functools.cache(yaml_files.read)
    monkeypatch.setattr(yaml_files, "read", lambda path: copy.deepcopy(read(path)))


@many
@given(TEXTS)
def test_a_value_is_composed_as_it_is_typed_or_refused(parsed_once: None, value: str) -> None:
    assume(not value.startswith("~"))  # the folder of the user
    try:
        composed = presets.compose(["folder", f"data.path={value}", f"report.title={value}"])
    except SeedlingsError:
        assert any(unicodedata.category(character) == "Cc" for character in value)
        return
    assert (composed["data"]["path"], composed["report"]["title"]) == (value, value)
    assert presets.compose(shlex.split(composed["composed_from"])) == composed


CELLS = st.text(max_size=6) | NAMES | st.sampled_from(["a.png", "0.5", "nan", '"', ",", "\0"])
ROWS = st.lists(st.lists(CELLS, max_size=3).map(",".join), max_size=4).map("\n".join)


@many
@given(ROWS | st.text(max_size=40), st.sampled_from(["regression", "multilabel"]), st.booleans())
def test_annotations_name_images_that_are_there_or_are_refused(
    empty: Callable[[], Path], text: str, task: str, header: bool
) -> None:
    root = empty()
    (root / "a.png").touch()
    (root / "log.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    layout = Annotations(
        file="log.csv",
        encoding=None,
        delimiter=None,
        group=None,
        path=0,
        label=1,
        header=header,
        images="",
        match="path",
        ending="",
        separator=" ",
        block=None,
    )
    try:
        table, bad = annotations.read(root, layout, TASKS[task])
    except SeedlingsError:
        return
    assert set(table["path"]) <= {"a.png", "log.csv"}
    assert all(reason.startswith(str(root / "log.csv")) for reason in bad)
