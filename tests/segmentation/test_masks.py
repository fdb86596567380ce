from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import riemersma
from seedlings.data import sample
from seedlings.segmentation import masks

Image = NDArray[np.uint8]


def near_greens(rng: np.random.Generator, height: int, width: int) -> Image:
    """Patches of colours around the four greens, so that both answers are frequent."""
    colours = np.array(riemersma.GREENS)[:, :3]
    chosen = colours[rng.integers(0, 4, (height // 6 + 1, width // 6 + 1))]
    patches = chosen.repeat(6, axis=0).repeat(6, axis=1)[:height, :width]
    return np.clip(patches + rng.normal(0, 12, patches.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(150, 150), (1, 1), (9, 9), (5, 200), (61, 33)])
def test_color_distance_is_the_published_formula_on_random_images(
    shape: tuple[int, int], rng: np.random.Generator
) -> None:
    method = masks.METHODS["color_distance"]
    for image in (near_greens(rng, *shape), rng.integers(0, 256, (*shape, 3), dtype=np.uint8)):
        assert np.array_equal(method.mask(image), riemersma.mask(image))
        assert np.array_equal(method.cut_out(image), riemersma.cut_out(image))


def test_color_distance_knows_its_own_greens_and_no_grey() -> None:
    greens = np.array([[list(green[:3]) for green in riemersma.GREENS]], np.uint8)
    assert masks.METHODS["color_distance"].mask(greens).all()
    assert not masks.METHODS["color_distance"].mask(np.full((3, 3, 3), 200, np.uint8)).any()


def test_excess_green_finds_a_green_square_on_soil() -> None:
    image = np.full((40, 40, 3), (110, 85, 60), np.uint8)
    image[10:20, 5:25] = (60, 140, 50)
    expected = np.zeros((40, 40), np.bool_)
    expected[10:20, 5:25] = True
    method = masks.METHODS["excess_green"]
    assert np.array_equal(method.mask(image), expected)
    assert np.array_equal(method.cut_out(image), image * expected[..., None])


def test_excess_green_finds_most_of_the_drawn_plants() -> None:
    overlaps = []
    for species in range(len(sample.SPECIES)):
        image, plant = sample.draw_numbered(species, 0, seed=3, size=150)
        found = masks.METHODS["excess_green"].mask(image)
        overlaps.append((found & plant).sum() / (found | plant).sum())
    assert np.median(overlaps) > 0.7


def test_none_keeps_everything(noise: Callable[..., Image]) -> None:
    image = noise()
    assert np.array_equal(masks.METHODS["none"].cut_out(image), image)


@pytest.mark.parametrize("method", masks.METHODS)
def test_a_method_leaves_its_input_alone(method: str, noise: Callable[..., Image]) -> None:
    image = noise()
    before = image.copy()
    cut = masks.METHODS[method].cut_out(image)
    assert np.array_equal(image, before)
    assert cut.shape == image.shape
    assert cut.dtype == np.uint8


def test_foreground_is_the_share_of_pixels_that_are_not_black() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    image[0, 0] = (0, 0, 1)
    image[3, 2:4] = (9, 0, 0)
    assert masks.foreground(masks.kept(image)) == 3 / 20


def test_the_background_is_black_or_its_mean_or_dimmed() -> None:
    picture = np.full((2, 3, 3), (90, 30, 60), np.uint8)
    picture[0, 0] = (10, 200, 20)  # the plant
    picture[1, 2] = (120, 60, 90)
    cut_out = np.zeros_like(picture)
    cut_out[0, 0] = picture[0, 0]
    before = picture.copy()
    assert masks.with_background(picture, cut_out, "black") is cut_out
    mean = masks.with_background(picture, cut_out, "mean")
    assert mean[0, 0].tolist() == [10, 200, 20]
    assert mean[1, 1].tolist() == mean[1, 2].tolist() == [96, 36, 66]
    dimmed = masks.with_background(picture, cut_out, "dimmed")
    assert dimmed[0, 0].tolist() == [10, 200, 20]
    assert dimmed[1, 2].tolist() == [40, 20, 30]
    assert np.array_equal(picture, before)


def test_the_background_continues_in_black_or_its_mean_or_a_third_of_it() -> None:
    picture = np.full((2, 3, 3), (90, 30, 60), np.uint8)
    picture[0, 0] = (10, 200, 20)  # the plant
    picture[1, 2] = (120, 60, 90)
    cut_out = np.zeros_like(picture)
    cut_out[0, 0] = picture[0, 0]
    colours = {
        name: masks.background_colour(picture, cut_out, name)
        for name in ("black", "mean", "dimmed")
    }
    assert colours == {"black": [0, 0, 0], "mean": [96, 36, 66], "dimmed": [32, 12, 22]}


@pytest.mark.parametrize("background", ["black", "mean", "dimmed"])
def test_without_a_background_it_continues_in_black(background: str) -> None:
    picture = np.full((2, 3, 3), 90, np.uint8)
    assert masks.background_colour(picture, picture, background) == [0, 0, 0]
