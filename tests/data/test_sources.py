import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedlings import images
from seedlings.config import reuse
from seedlings.config.records import Record
from seedlings.data import sample, sources
from seedlings.data.params import Data
from seedlings.data.sources import Collected
from seedlings.errors import SeedlingsError
from seedlings.io import downloads
from seedlings.params import check


@pytest.fixture
def data(tree: dict[str, Any]) -> Callable[..., Data]:
    def make(**changes: Any) -> Data:
        tree["data"].update(changes)
        return check(tree).data

    return make


def zipped(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder.parent / "archive"), "zip", folder))


def test_the_sample_has_its_number_of_every_species(
    tmp_path: Path, data: Callable[..., Data]
) -> None:
    small = {"images_per_class": 2, "side": 40}
    found = sources.collect(data(source="sample", sample=small), tmp_path / "raw", 9)
    files = {species.name: 2 for species in sample.SPECIES}
    assert found == Collected(files=files)
    drawn, _ = sample.draw_numbered(9, 1, seed=9, size=40)
    read = images.read(tmp_path / "raw" / "Shepherd’s Purse" / "00001.png")
    assert np.array_equal(read, drawn)


def test_a_folder_is_copied(
    tmp_path: Path, data: Callable[..., Data], image_folder: Callable[..., Path]
) -> None:
    folder = image_folder({"a b": 2, "Shepherd’s Purse": 1})
    found = sources.collect(data(source="folder", path=str(folder)), tmp_path / "raw", 0)
    assert found == Collected(files={"Shepherd’s Purse": 1, "a b": 2})
    copy = tmp_path / "raw" / "a b" / "001.png"
    assert copy.read_bytes() == (folder / "a b" / "001.png").read_bytes()


def test_an_archive_is_unpacked_and_its_checksum_held_against_it(
    tmp_path: Path, data: Callable[..., Data], image_folder: Callable[..., Path]
) -> None:
    path = zipped(image_folder({"a": 2, "b": 1}))
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    good = data(source="archive", path=str(path), checksum=right)
    found = sources.collect(good, tmp_path / "raw", 0)
    assert found == Collected(files={"a": 2, "b": 1})
    bad = data(source="archive", path=str(path), checksum="sha256:" + "0" * 64)
    with pytest.raises(SeedlingsError, match=f"expected the sha256 checksum 0+, found {right}"):
        sources.collect(bad, tmp_path / "other", 0)
    assert not (tmp_path / "other").exists()


@pytest.fixture
def asked(
    tmp_path: Path, image_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> list[str | None]:
    """With which checksum of the last run the download of an archive is compared."""
    archive = zipped(image_folder({"a": 1}))
    compared: list[str | None] = []

    def current(url: str, last: str | None) -> tuple[Path, str]:
        compared.append(last)
        return archive, "sha256:1"

    monkeypatch.setattr(downloads, "current", current)
    monkeypatch.setattr(downloads, "retrieve", lambda url, checksum: archive)
    return compared


def test_a_download_is_compared_with_that_of_the_last_run_from_the_same_url(
    tmp_path: Path,
    data: Callable[..., Data],
    asked: list[str | None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    last = Record("download", {"data.url": "http://x.invalid/a.zip"}, details={"checksum": "last"})
    monkeypatch.setattr(reuse, "last_record", lambda stage: last)
    one = data(source="archive", url="http://x.invalid/a.zip")
    assert sources.collect(one, tmp_path / "one", 0).checksum == "sha256:1"
    assert capsys.readouterr().out == ""
    other = data(source="archive", url="http://x.invalid/b.zip")
    sources.collect(other, tmp_path / "other", 0)
    assert asked == ["last", None]


def test_what_is_downloaded_without_a_last_run_is_said_in_one_line(
    tmp_path: Path,
    data: Callable[..., Data],
    asked: list[str | None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(reuse, "last_record", lambda stage: None)
    sources.collect(data(source="archive", url="http://x.invalid/a.zip"), tmp_path / "raw", 0)
    assert asked == [None]
    [line] = capsys.readouterr().out.splitlines()
    size = f"{(tmp_path / 'archive.zip').stat().st_size:,} bytes"
    assert line.startswith(f"http://x.invalid/a.zip: {size}, sha256:1; set data.checksum to it")


def test_a_download_with_a_checksum_is_not_compared_and_has_its_checksum_too(
    tmp_path: Path, data: Callable[..., Data], asked: list[str | None]
) -> None:
    expected = hashlib.sha256((tmp_path / "archive.zip").read_bytes()).hexdigest()
    verified = data(source="archive", url="http://x.invalid/a.zip", checksum="md5:" + "0" * 32)
    assert sources.collect(verified, tmp_path / "raw", 0).checksum == f"sha256:{expected}"
    assert asked == []


@pytest.mark.parametrize("is_download", [True, False])
def test_a_damaged_download_leaves_the_cache_and_a_file_of_the_user_stays(
    is_download: bool, tmp_path: Path, data: Callable[..., Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "half.zip"
    path.write_bytes(b"half a zip")
    monkeypatch.setattr(downloads, "current", lambda url, last: (path, "sha256:0"))
    url = "http://x.invalid/a.zip" if is_download else None
    with pytest.raises(SeedlingsError, match="expected a whole zip or tar"):
        sources.collect(data(source="archive", url=url, path=str(path)), tmp_path / "raw", 0)
    assert path.exists() != is_download


def test_a_good_download_stays_in_the_cache_where_a_parameter_is_wrong(
    tmp_path: Path,
    data: Callable[..., Data],
    image_folder: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched = zipped(image_folder({"a": 2, "b": 1}))
    monkeypatch.setattr(downloads, "current", lambda url, last: (fetched, "sha256:0"))
    typo = data(source="archive", url="http://x.invalid/a.zip", folder="trian")
    with pytest.raises(SeedlingsError, match="in its folder 'trian'"):
        sources.collect(typo, tmp_path / "raw", 0)
    assert fetched.exists()


@pytest.mark.parametrize("source", ["archive", "folder"])
def test_a_missing_source_names_the_parameter(
    source: str, tmp_path: Path, data: Callable[..., Data]
) -> None:
    with pytest.raises(SeedlingsError, match=r"no/where \(data\.path.*nothing"):
        sources.collect(data(source=source, path="no/where"), tmp_path / "raw", 0)


def test_an_empty_class_folder_is_refused(
    tmp_path: Path, data: Callable[..., Data], image_folder: Callable[..., Path]
) -> None:
    folder = image_folder({"a": 1, "empty one": 0})
    (folder / "a" / "inner").mkdir()
    with pytest.raises(SeedlingsError, match="found none in: a/inner, empty one"):
        sources.collect(data(source="folder", path=str(folder)), tmp_path / "raw", 0)


def test_images_without_folders_are_refused(
    tmp_path: Path, data: Callable[..., Data], image_folder: Callable[..., Path]
) -> None:
    folder = image_folder({"a": 1}) / "a"
    with pytest.raises(SeedlingsError, match="expected one folder for each class, found none"):
        sources.collect(data(source="folder", path=str(folder)), tmp_path / "raw", 0)


@pytest.mark.slow
def test_the_real_archive_gives_120_of_each_species(
    plants: Path, tmp_path: Path, data: Callable[..., Data]
) -> None:
    real = data(source="archive", path=str(plants), folder="train")
    found = sources.collect(real, tmp_path / "raw", 0).files
    assert set(found.values()) == {120}
    assert sorted(found) == [species.name for species in sample.SPECIES]
