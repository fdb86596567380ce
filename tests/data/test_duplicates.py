from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from seedlings import images
from seedlings.data import duplicates, image_folder, sample
from seedlings.io import threads


def table_of(exact: list[int], perceptual: list[int]) -> pd.DataFrame:
    return pd.DataFrame(
        {"exact": np.array(exact, np.uint64), "perceptual": np.array(perceptual, np.uint64)}
    )


def test_the_rows_of_a_unit_share_a_group_with_the_duplicates_of_each() -> None:
    table = table_of([1, 2, 3, 4, 2, 6], [0] * 6).assign(unit=[1, 1, 3, 3, 5, 6])
    assert duplicates.group(table, None).tolist() == [0, 0, 1, 1, 0, 2]


@pytest.mark.parametrize(("distance", "groups"), [(2, [0, 1, 2]), (3, [0, 0, 1]), (5, [0, 0, 0])])
def test_near_means_at_most_so_many_bits(distance: int, groups: list[int]) -> None:
    table = table_of([1, 2, 3], [0b0, 0b111, 0b11111 << 40 | 0b111])
    assert duplicates.group(table, distance).tolist() == groups


def test_groups_are_joined_through_their_members_and_equal_brute_force(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_COLUMNS", 70)
    count, distance = 300, 2
    hashes = np.zeros(count, np.uint64)
    for place in range(count):  # a few bits each, so that chains form across blocks
        for bit in rng.integers(0, 48, 3):
            hashes[place] |= np.uint64(1) << np.uint64(bit)
    found = duplicates.group(table_of(list(range(count)), hashes.tolist()), distance)
    expected = list(range(count))
    for a in range(count):
        for b in range(a):
            if bin(int(hashes[a]) ^ int(hashes[b])).count("1") <= distance:
                old, new = expected[a], expected[b]
                expected = [new if group == old else group for group in expected]
    same = found[:, None] == found[None, :]
    assert np.array_equal(same, np.array(expected)[:, None] == np.array(expected)[None, :])
    assert 1 < len(set(found)) < count


def test_fingerprints_find_copies_and_near_copies(tmp_path: Path) -> None:
    picture, _ = sample.draw_numbered(1, 0, seed=0, size=100)
    other, _ = sample.draw_numbered(1, 1, seed=0, size=100)
    (tmp_path / "a.png").write_bytes(images.encode_png(picture))
    cv2.imwrite(str(tmp_path / "b.jpg"), picture[..., ::-1])
    (tmp_path / "c.png").write_bytes(images.encode_png(other))
    (tmp_path / "d.png").write_bytes(images.encode_png(picture) + b"trailing")
    table = pd.DataFrame({"path": ["a.png", "b.jpg", "c.png", "d.png"], "label": "x"})
    table, bad = duplicates.fingerprint(tmp_path, table)
    assert bad == []
    assert duplicates.group(table, None).tolist() == [0, 1, 2, 0]
    assert duplicates.group(table, 6).tolist() == [0, 0, 1, 0]


def test_large_images_are_compared_by_their_reduced_pixels(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    large = cv2.resize(coarse, (1100, 1050), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "a.jpg"), large)
    copy = cv2.imread(str(tmp_path / "a.jpg"))
    cv2.imwrite(str(tmp_path / "b.png"), copy)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "c.jpg").write_bytes(data[:2] + b"\xff\xfe\x00\x06note" + data[2:])
    table = pd.DataFrame({"path": ["a.jpg", "b.png", "c.jpg"], "label": "x"})
    table, _ = duplicates.fingerprint(tmp_path, table)
    for path, exact, perceptual in table[["path", "exact", "perceptual"]].to_numpy().tolist():
        reduced = images.read(tmp_path / path, least=(256, 256))
        assert reduced.shape == (263, 275, 3)
        written = images.encode_png(reduced)
        (tmp_path / "small.png").write_bytes(written)
        small, _ = duplicates.fingerprint(tmp_path, pd.DataFrame({"path": ["small.png"]}))
        assert small[["exact", "perceptual"]].to_numpy().tolist() == [[exact, perceptual]]
    assert duplicates.group(table, None).tolist() == [0, 1, 0]  # a lossless copy is near
    assert duplicates.group(table, 6).tolist() == [0, 0, 0]


def test_the_hashes_do_not_depend_on_the_number_of_threads(
    image_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder({"a": 40})
    (folder / "a" / "017.png").write_bytes(b"broken")
    (folder / "a" / "003.png").write_bytes(b"")
    table = pd.DataFrame({"path": [f"a/{number:03d}.png" for number in range(40)], "label": "a"})
    found = []
    for count in (1, 5):
        monkeypatch.setattr(threads, "cores", lambda count=count: count)
        found.append(duplicates.fingerprint(folder, table))
    (one, bad), (many, bad_of_many) = found
    pd.testing.assert_frame_equal(one, many)
    assert bad == bad_of_many
    assert ["003.png" in bad[0], "017.png" in bad[1]] == [True, True]


def test_what_cannot_be_decoded_is_left_out_and_named(
    tmp_path: Path, noise: Callable[..., np.ndarray]
) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    (tmp_path / "b.png").write_bytes(images.encode_png(noise()))
    (tmp_path / "c.png").write_bytes(images.encode_png(noise())[:200])
    table = pd.DataFrame({"path": ["a.png", "b.png", "c.png"], "label": ["x", "y", "z"]})
    good, bad = duplicates.fingerprint(tmp_path, table)
    assert good["path"].tolist() == ["b.png"]
    assert good.index.tolist() == [0]
    assert [str(tmp_path / name) in reason for name, reason in zip("ac", bad, strict=True)]
    assert len(bad) == 2


@pytest.mark.slow
def test_the_real_pairs_are_of_one_species(real_images: Path) -> None:
    table, _ = image_folder.scan(real_images, "per_class")
    table, bad = duplicates.fingerprint(real_images, table)
    table["group"] = duplicates.group(table, 6)
    together = table[table["group"].duplicated(keep=False)]
    assert bad == []
    assert len(table) == 1440
    groups = [set(rows["label"]) for _, rows in together.groupby("group")]
    # Looked at one by one: two pictures of one plant each, and three of one wheat.
    assert len(together) == 9
    assert sorted(map(sorted, groups)) == [
        ["Common Chickweed"],
        ["Common Chickweed"],
        ["Common wheat"],
        ["Sugar beet"],
    ]


def test_known_files_are_not_decoded_again(
    tmp_path: Path, image_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder({"a": 3})
    table = pd.DataFrame({"path": ["a/000.png", "a/001.png", "a/002.png"], "label": "a"})
    whole, _ = duplicates.fingerprint(folder, table)
    duplicates.write_hashes(whole, tmp_path / "report")
    known = duplicates.read_hashes(tmp_path / "report")
    assert len(known) == 3
    (folder / "a" / "000.png").rename(folder / "a" / "003.png")
    (folder / "a" / "001.png").write_bytes(b"broken")
    table["path"] = ["a/003.png", "a/001.png", "a/002.png"]
    decoded = []
    decode = images.decode
    monkeypatch.setattr(
        images,
        "decode",
        lambda data, name, least: decoded.append(name) or decode(data, name=name, least=least),
    )
    again, bad = duplicates.fingerprint(folder, table, known)
    assert decoded == [str(folder / "a" / "001.png")]
    assert len(bad) == 1
    hashes = ["digest", "exact", "perceptual"]
    pd.testing.assert_frame_equal(again[hashes], whole.loc[[0, 2], hashes].reset_index(drop=True))
