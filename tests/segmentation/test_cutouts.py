from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import arrays
from seedlings import images
from seedlings.config.reuse import Reuse
from seedlings.errors import SeedlingsError
from seedlings.io import parts, threads
from seedlings.io.shards import Here
from seedlings.params import check
from seedlings.segmentation import cutouts, masks, preprocessing
from seedlings.segmentation.params import FITS, Segment


@pytest.fixture
def segment(tree: dict[str, Any]) -> Callable[..., Segment]:
    def make(**changes: Any) -> Segment:
        tree["segment"].update(changes)
        return check(tree).segment

    return make


def table_of(folder: Path) -> pd.DataFrame:
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*.png"))
    return pd.DataFrame(
        {
            "path": map(str, paths),
            "label": [path.parts[0] for path in paths],
            "digest": [parts.digest((folder / path).read_bytes()) for path in paths],
        }
    )


def make(folder: Path, table: pd.DataFrame, params: Segment, target: Path) -> np.ndarray:
    return cutouts.make(folder, table, params, target, engine=Here(), last=Reuse("key"))


@pytest.mark.parametrize("method", masks.METHODS)
def test_every_image_is_decoded_resized_and_masked_in_its_place(
    method: str,
    tmp_path: Path,
    segment: Callable[..., Segment],
    image_folder: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cutouts.Cutting, "shard_size", 4)
    folder = image_folder({"a": 6, "b": 5})
    table = table_of(folder).sample(frac=1, random_state=0)
    params = segment(method=method, pixels=[24, 30])
    shares = make(folder, table, params, tmp_path / "array")
    found = arrays.read(tmp_path / "array", 0, 11)
    assert found.shape == (11, 24, 30, 3)
    for path, cut, share in zip(table["path"], found, shares, strict=True):
        small = images.resize(images.read(folder / path), 24, 30)
        assert np.array_equal(cut, masks.METHODS[method].cut_out(small))
        assert share == round(cut.any(axis=2).mean(), 6)


@pytest.mark.parametrize("background", ["black", "mean", "dimmed"])
def test_padding_changes_neither_the_mask_nor_the_share_of_foreground(
    background: str, segment: Callable[..., Segment]
) -> None:
    image = np.full((20, 40, 3), (110, 85, 60), np.uint8)  # soil
    image[5:15, 10:20] = (60, 140, 50)  # a plant on an eighth of it
    padded, share = preprocessing.cut_out_with_share(
        image, segment(fit="pad", pixels=[40, 40], background=background)
    )
    without, alone = preprocessing.cut_out_with_share(
        image, segment(fit="stretch", pixels=[20, 40], background=background)
    )
    assert share == alone == 0.125
    assert np.array_equal(padded[10:30], without)
    colour = {"black": [0, 0, 0], "mean": [110, 85, 60], "dimmed": [36, 28, 20]}[background]
    assert (padded[:10] == colour).all()
    assert (padded[30:] == colour).all()


@pytest.mark.parametrize("background", ["black", "mean", "dimmed"])
def test_a_whole_image_is_padded_with_black(
    background: str, segment: Callable[..., Segment]
) -> None:
    image = np.full((20, 40, 3), 200, np.uint8)
    params = segment(fit="pad", pixels=[40, 40], background=background, method="none")
    padded, share = preprocessing.cut_out_with_share(image, params)
    assert share == 1.0
    assert padded[:, 0, 0].tolist() == [0] * 10 + [200] * 20 + [0] * 10


@pytest.mark.parametrize(
    ("pixels", "shape"), [((50, 82), (100, 165)), ((50, 83), (200, 330)), ((12, 20), (25, 42))]
)
def test_a_large_image_is_decoded_at_twice_the_size_of_its_cut_out_or_more(
    pixels: tuple[int, int],
    shape: tuple[int, int],
    segment: Callable[..., Segment],
    noise: Callable[..., np.ndarray],
) -> None:
    data = images.encode_png(noise(200, 330))
    assert preprocessing.decoded(data, segment(pixels=[*pixels])).shape == (*shape, 3)


@pytest.mark.parametrize("fit", FITS)
def test_the_array_does_not_depend_on_the_number_of_threads(
    fit: str,
    tmp_path: Path,
    segment: Callable[..., Segment],
    image_folder: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = image_folder({"a": 40})
    written = []
    for count in (1, 5):
        monkeypatch.setattr(threads, "cores", lambda count=count: count)
        target = tmp_path / f"array{count}"
        make(folder, table_of(folder), segment(fit=fit, pixels=[24, 16]), target)
        files = sorted(path for path in target.rglob("*") if path.is_file())
        written.append({str(path.relative_to(target)): path.read_bytes() for path in files})
    assert len(written[0]) > 1
    assert written[0] == written[1]


def test_a_damaged_image_is_named_and_leaves_nothing(
    tmp_path: Path, segment: Callable[..., Segment], image_folder: Callable[..., Path]
) -> None:
    folder = image_folder({"a": 2})
    (folder / "a" / "001.png").write_bytes(b"broken")
    with pytest.raises(SeedlingsError, match=r"a/001\.png: expected an image"):
        make(folder, table_of(folder), segment(), tmp_path / "out" / "array")
    assert not (tmp_path / "out" / "array").exists()


def test_a_file_that_changed_since_the_split_is_named(
    tmp_path: Path, segment: Callable[..., Segment], image_folder: Callable[..., Path]
) -> None:
    folder = image_folder({"a": 2})
    table = table_of(folder)
    (folder / "a" / "001.png").write_bytes((folder / "a" / "000.png").read_bytes())
    with pytest.raises(SeedlingsError, match=r"a/001\.png: expected the file that the stage split"):
        make(folder, table, segment(), tmp_path / "array")


def test_empty_masks_are_named(
    segment: Callable[..., Segment], capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.DataFrame({"path": [f"{n}.png" for n in range(30)], "label": "x"})
    shares = np.full(30, 0.5)
    assert cutouts.name_empty(table, shares, segment()) == []
    assert capsys.readouterr().err == ""
    shares[5:20] = 0.0005
    assert cutouts.name_empty(table, shares, segment()) == [f"{n}.png" for n in range(5, 20)]
    printed = capsys.readouterr().err
    assert "15 of 30 masks are empty" in printed
    assert "5.png" in printed
    assert "and 5 more" in printed


def test_the_summary_is_by_hand() -> None:
    assert cutouts.summarize(np.array([0.1, 0.4, 0.2])) == {
        "foreground_min": 0.1,
        "foreground_median": 0.2,
        "foreground_max": 0.4,
    }


@pytest.mark.slow
def test_excess_green_leaves_next_to_no_real_image_empty(
    real_images: Path, tmp_path: Path, segment: Callable[..., Segment]
) -> None:
    table = table_of(real_images)
    empty = {}
    for method in ("excess_green", "color_distance"):
        params = segment(method=method)
        shares = make(real_images, table, params, tmp_path / method)
        empty[method] = len(cutouts.name_empty(table, shares, params)) / len(table)
    assert empty["excess_green"] <= 0.002
    assert 0.2 < empty["color_distance"] < 0.3


def test_masks_that_are_all_empty_are_an_error(segment: Callable[..., Segment]) -> None:
    table = pd.DataFrame({"path": ["a.png", "b.png"], "label": "x"})
    with pytest.raises(SeedlingsError, match="finds no foreground in any image; .* use `none`"):
        cutouts.name_empty(table, np.zeros(2), segment())
