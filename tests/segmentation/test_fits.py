import numpy as np
import pytest

from seedlings.segmentation import fits


def numbered(height: int, width: int) -> np.ndarray:
    """An image whose pixel at row r and column c has the colour (r, c, 7)."""
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([rows, columns, np.full_like(rows, 7)]).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "size", "rows", "columns"),
    [
        ((4, 10), (4, 4), (0, 4), (3, 7)),  # wide: the middle columns
        ((10, 4), (4, 4), (3, 7), (0, 4)),  # tall: the middle rows
        ((9, 4), (4, 4), (2, 6), (0, 4)),  # of an odd number of rows, the larger part below
        ((6, 6), (3, 6), (1, 4), (0, 6)),
        ((6, 6), (6, 3), (0, 6), (1, 4)),
        ((5, 7), (5, 7), (0, 5), (0, 7)),
    ],
)
def test_crop_keeps_the_largest_centred_part_of_the_proportions(
    shape: tuple[int, int],
    size: tuple[int, int],
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> None:
    image = numbered(*shape)
    expected = image[slice(*rows), slice(*columns)]
    assert np.array_equal(fits.resized(image, *size, "crop"), expected)


def test_crop_resizes_what_it_keeps() -> None:
    image = np.zeros((2, 8, 3), np.uint8)
    image[:, :3] = image[:, 5:] = 250  # cut off
    image[0, 3], image[1, 3], image[0, 4], image[1, 4] = 10, 20, 30, 40
    assert fits.resized(image, 1, 1, "crop").tolist() == [[[25, 25, 25]]]
    assert fits.resized(image, 1, 1, "stretch").tolist() == [[[194, 194, 194]]]


@pytest.mark.parametrize(
    ("shape", "size", "inside"),
    [
        ((50, 100), (40, 40), (20, 40)),
        ((100, 50), (40, 40), (40, 20)),
        ((50, 100), (40, 100), (40, 80)),
        ((10, 20), (40, 40), (20, 40)),  # smaller images are enlarged
        ((1, 1000), (40, 40), (1, 40)),
        ((1000, 1), (40, 40), (40, 1)),
        ((30, 30), (40, 40), (40, 40)),
    ],
)
def test_with_pad_the_whole_image_is_inside_in_its_proportions(
    shape: tuple[int, int], size: tuple[int, int], inside: tuple[int, int]
) -> None:
    assert fits.resized(numbered(*shape), *size, "pad").shape[:2] == inside


@pytest.mark.parametrize(("shape", "top", "left"), [((2, 5), 1, 0), ((5, 2), 0, 1), ((2, 4), 1, 0)])
def test_padding_surrounds_the_image_with_a_colour(
    shape: tuple[int, int], top: int, left: int
) -> None:
    image = numbered(*shape)
    found = fits.padded(image, 5, 5, (90, 60, 30))
    expected = np.full((5, 5, 3), (90, 60, 30), np.uint8)
    expected[top : top + shape[0], left : left + shape[1]] = image
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (37, 61), (200, 120)])
def test_every_image_gets_the_size(fit: str, shape: tuple[int, int]) -> None:
    image = numbered(*shape)
    before = image.copy()
    found = fits.padded(fits.resized(image, 24, 30, fit), 24, 30, (0, 0, 0))
    assert found.shape == (24, 30, 3)
    assert np.array_equal(image, before)


def test_an_image_of_the_right_proportions_is_the_same_in_every_fit() -> None:
    image = numbered(100, 150)
    stretched, cropped, inside = (
        fits.resized(image, 24, 36, fit) for fit in ("stretch", "crop", "pad")
    )
    assert np.array_equal(stretched, cropped)
    assert np.array_equal(stretched, inside)
