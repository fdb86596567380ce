import numpy as np
import pytest

from seedlings.data import sample


def test_twelve_species_with_the_names_of_the_real_set() -> None:
    names = [species.name for species in sample.SPECIES]
    assert len(set(names)) == 12
    assert names == sorted(names)
    assert "Shepherd’s Purse" in names


def test_the_same_numbers_give_the_same_picture_whatever_else_is_drawn() -> None:
    first, first_mask = sample.draw_numbered(3, 4, seed=1, size=64)
    sample.draw_numbered(5, 0, seed=1, size=64)
    second, second_mask = sample.draw_numbered(3, 4, seed=1, size=64)
    assert np.array_equal(first, second)
    assert np.array_equal(first_mask, second_mask)


@pytest.mark.parametrize("other", [(2, 4, 1), (3, 5, 1), (3, 4, 2)])
def test_other_numbers_give_another_picture(other: tuple[int, int, int]) -> None:
    species, number, seed = other
    first, _ = sample.draw_numbered(3, 4, seed=1, size=64)
    second, _ = sample.draw_numbered(species, number, seed=seed, size=64)
    assert np.abs(first.astype(int) - second).mean() > 5


def test_every_twentieth_shows_the_same_scene_again() -> None:
    first, first_mask = sample.draw_numbered(3, 18, seed=1, size=96)
    again, again_mask = sample.draw_numbered(3, 19, seed=1, size=96)
    assert np.array_equal(first_mask, again_mask)
    assert not np.array_equal(first, again)
    assert np.abs(first.astype(int) - again).mean() < 12


@pytest.mark.parametrize("species", range(12))
def test_a_picture_holds_a_plant_that_is_greener_than_its_ground(species: int) -> None:
    shares, greener = [], []
    for number in range(10):
        picture, mask = sample.draw_numbered(species, number, seed=0, size=100)
        assert picture.shape == (100, 100, 3)
        assert picture.dtype == np.uint8
        shares.append(mask.mean())
        excess = picture.astype(int) @ [-1, 2, -1]
        greener.append(excess[mask].mean() > excess[~mask].mean())
    assert min(shares) > 0.0
    assert max(shares) < 0.5
    assert sum(greener) >= 9
