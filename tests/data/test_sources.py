import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedlings import images
from seedlings.config import reuse
from seedlings.config.records import Record
from seedlings.data import sample, sources
from seedlings.data.sources import Collected
from seedlings.errors import SeedlingsError
from seedlings.io import downloads
from seedlings.params import check

Collect = Callable[..., Collected]
URL = "http://x.invalid/a.zip"


@pytest.fixture
def collect(tree: dict[str, Any], tmp_path: Path) -> Collect:
    """Collect images in the folder raw: collect(**values of the section data)."""

    def run(**values: Any) -> Collected:
        tree["data"] |= values
        return sources.collect(check(tree).data, tmp_path / "raw", 9)

    return run


@pytest.fixture
def archive(image_folder: Callable[..., Path]) -> Path:
    """A zip with two images of the class a and one of b."""
    folder = image_folder({"a": 2, "b": 1})
    return Path(shutil.make_archive(str(folder.parent / "archive"), "zip", folder))


def test_the_sample_has_its_number_of_every_species(tmp_path: Path, collect: Collect) -> None:
    found = collect(source="sample", sample={"images_per_class": 2, "side": 40})
    assert found == Collected(files={species.name: 2 for species in sample.SPECIES})
    drawn, _ = sample.draw_numbered(9, 1, seed=9, size=40)
    read = images.read(tmp_path / "raw" / "Shepherd’s Purse" / "00001.png")
    assert np.array_equal(read, drawn)


def test_a_folder_is_copied(
    tmp_path: Path, collect: Collect, image_folder: Callable[..., Path]
) -> None:
    folder = image_folder({"a b": 2, "Shepherd’s Purse": 1})
    found = collect(source="folder", path=str(folder))
    assert found == Collected(files={"Shepherd’s Purse": 1, "a b": 2})
    copy = tmp_path / "raw" / "a b" / "001.png"
    assert copy.read_bytes() == (folder / "a b" / "001.png").read_bytes()


def test_an_archive_is_unpacked_if_it_has_its_checksum(
    tmp_path: Path, collect: Collect, archive: Path
) -> None:
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(SeedlingsError, match=f"expected the sha256 checksum 0+, found {right}"):
        collect(source="archive", path=str(archive), checksum="sha256:" + "0" * 64)
    assert not (tmp_path / "raw").exists()
    found = collect(source="archive", path=str(archive), checksum=right)
    assert found == Collected(files={"a": 2, "b": 1})


def test_an_archive_in_place_of_a_folder_is_named(archive: Path, collect: Collect) -> None:
    with pytest.raises(SeedlingsError, match="found a file; if it is an archive, set data.source"):
        collect(source="folder", path=str(archive))


def test_a_folder_is_found_in_another_unicode_form(
    collect: Collect, image_folder: Callable[..., Path]
) -> None:
    folder = image_folder({"e\u0301/a": 1, "e\u0301/b": 1})
    found = collect(source="folder", path=str(folder), folder="\u00e9")
    assert found == Collected(files={"a": 1, "b": 1})


def test_names_in_an_archive_are_read_in_their_encoding(tmp_path: Path, collect: Collect) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", encoding="cp932", format=tarfile.GNU_FORMAT) as file:
        file.addfile(tarfile.TarInfo("表面/1.png"), io.BytesIO())
    found = collect(source="archive", path=str(tmp_path / "a.tar"), encoding="cp932")
    assert found == Collected(files={"表面": 1})


@pytest.fixture
def asked(archive: Path, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """With which checksum of the last run the download of an archive is compared."""
    compared: list[str | None] = []

    def current(url: str, last: str | None) -> tuple[Path, str]:
        compared.append(last)
        return archive, "sha256:1"

    monkeypatch.setattr(downloads, "current", current)
    monkeypatch.setattr(downloads, "retrieve", lambda url, checksum: archive)
    return compared


@pytest.mark.parametrize("last_url", [URL, "http://x.invalid/b.zip", None])
def test_a_download_is_compared_with_that_of_the_last_run_from_the_same_url_or_is_told(
    last_url: str | None,
    collect: Collect,
    archive: Path,
    asked: list[str | None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    last = Record("download", {"data.url": last_url}, details={"checksum": "last"})
    monkeypatch.setattr(reuse, "last_record", lambda stage: last if last_url else None)
    assert collect(source="archive", url=URL).checksum == "sha256:1"
    assert asked == ["last" if last_url == URL else None]
    size = f"{archive.stat().st_size:,} bytes"
    line = f"{URL}: {size}, sha256:1; set data.checksum to it to refuse any other file\n"
    assert capsys.readouterr().out == ("" if last_url == URL else line)


def test_a_download_with_a_checksum_is_not_compared_and_has_its_checksum_too(
    collect: Collect, archive: Path, asked: list[str | None]
) -> None:
    expected = hashlib.sha256(archive.read_bytes()).hexdigest()
    found = collect(source="archive", url=URL, checksum="md5:" + "0" * 32)
    assert found.checksum == f"sha256:{expected}"
    assert asked == []


@pytest.mark.parametrize("is_download", [True, False])
def test_a_damaged_download_leaves_the_cache_and_a_file_of_the_user_stays(
    is_download: bool, tmp_path: Path, collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "half.zip"
    path.write_bytes(b"half a zip")
    monkeypatch.setattr(downloads, "current", lambda url, last: (path, "sha256:0"))
    with pytest.raises(SeedlingsError, match="expected a whole zip or tar"):
        collect(source="archive", url=URL if is_download else None, path=str(path))
    assert path.exists() != is_download


def test_a_good_download_stays_in_the_cache_where_a_parameter_is_wrong(
    collect: Collect, archive: Path, asked: list[str | None]
) -> None:
    with pytest.raises(SeedlingsError, match="in its folder 'trian'"):
        collect(source="archive", url=URL, folder="trian")
    assert archive.exists()


@pytest.mark.parametrize("source", ["archive", "folder"])
def test_a_missing_source_names_the_parameter(source: str, collect: Collect) -> None:
    with pytest.raises(SeedlingsError, match=r"no/where \(data\.path.*nothing"):
        collect(source=source, path="no/where")


@pytest.mark.parametrize(
    ("below", "message"),
    [
        ("", "expected images in every folder, found none in: a/inner, empty one"),
        ("b", "expected one folder for each class, found none"),
    ],
)
def test_folders_that_are_no_classes_with_images_are_refused(
    below: str, message: str, collect: Collect, image_folder: Callable[..., Path]
) -> None:
    folder = image_folder({"a": 1, "b": 1, "empty one": 0})
    (folder / "a" / "inner").mkdir()
    with pytest.raises(SeedlingsError, match=message):
        collect(source="folder", path=str(folder / below))
