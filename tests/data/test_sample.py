import numpy as np
import pytest

from seedlings.data import sample


def test_twelve_species_with_the_names_of_the_real_set() -> None:
    names = [species.name for species in sample.SPECIES]
    assert len(set(names)) == 12
    assert names == sorted(names)
    assert "Shepherd’s Purse" in names


def test_a_picture_depends_on_its_numbers_alone() -> None:
    first, first_mask = sample.draw_numbered(3, 4, seed=1, size=64)
    for species, number, seed in ((2, 4, 1), (3, 5, 1), (3, 4, 2)):
        other, _ = sample.draw_numbered(species, number, seed=seed, size=64)
        assert np.abs(first.astype(int) - other).mean() > 5
    again, again_mask = sample.draw_numbered(3, 4, seed=1, size=64)
    assert np.array_equal(first, again)
    assert np.array_equal(first_mask, again_mask)


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
