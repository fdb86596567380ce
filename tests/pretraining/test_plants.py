import numpy as np
import pytest

import images
import plants
import species


@pytest.fixture(scope="module")
def world() -> images.World:
    return images.world(classes=20, distance=0.15, grounds=3, ground_size=96, seed=5)


def draw(world: images.World, label: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    form = world.forms[label]
    return plants.draw(form, world.grounds, size=64, rng=np.random.default_rng(seed))


def test_plants_are_green_on_their_mask_and_not_beside_it(world: images.World) -> None:
    greens = []
    for label in range(20):
        drawn, _ = draw(world, label, seed=label)
        assert drawn.shape == (64, 64, 4)
        assert set(np.unique(drawn[..., 3])) <= {0, 255}
        colours, mask = drawn[..., :3].astype(float), drawn[..., 3] > 0
        assert 0.002 < mask.mean() < 0.8
        excess = 2 * colours[..., 1] - colours[..., 0] - colours[..., 2]
        greens.append(excess[mask].mean() - excess[~mask].mean())
    assert min(greens) > 10.0


def test_the_numbers_describe_the_plant(world: images.World) -> None:
    by_radius = []
    for seed in range(60):
        drawn, (young, leaves, radius) = draw(world, label=seed % 20, seed=seed)
        form = world.forms[seed % 20].species
        seed_leaves = 2 if form.cotyledons else 0
        if young:
            assert form.cotyledons > 0
            assert leaves * 4 == 2
        else:
            assert form.leaves[0] <= leaves * 4 - seed_leaves <= form.leaves[1]
        assert np.log(0.22) <= radius <= np.log(0.75)
        by_radius.append((radius, (drawn[..., 3] > 0).mean()))
    radii, shares = np.array(by_radius).T
    assert np.corrcoef(radii, np.log(shares))[0, 1] > 0.3


def test_the_midrib_and_the_leaf_lie_where_geometry_says() -> None:
    shape = species.Species("", (1, 1), "fan", aspect=0.5, widest=0.5, bend=0.0)
    canvas = np.zeros((64, 64, 4), np.uint8)
    plants._draw_leaf(
        canvas,
        shape,
        base=np.array([10.0, 32.0]),
        length=40.0,
        angle=0.0,
        green=np.array([0.2, 0.6, 0.1]),
        rng=np.random.default_rng(0),
    )
    rows, columns = np.nonzero(canvas[..., 3] > 127)
    assert columns.min() == pytest.approx(10, abs=2)
    assert columns.max() == pytest.approx(50, abs=2)
    assert rows.mean() == pytest.approx(32, abs=0.5)
    assert np.ptp(rows) == pytest.approx(20, abs=4)  # aspect 0.5, times 0.85 to 1.15
    red, green, blue = canvas[32, 28, :3].tolist()
    assert green > red > blue


def test_a_batch_has_each_plant_whole_and_cut_out(world: images.World) -> None:
    def batches(epoch: int) -> images.Images:
        return images.Images(world, batches=3, batch_size=8, size=48, seed=5, epoch=epoch)

    pictures, (labels, descriptions) = batches(epoch=0)[1]
    assert pictures.shape == (8, 48, 48, 3)
    assert pictures.dtype == np.uint8
    assert (labels[::2] == labels[1::2]).all()
    np.testing.assert_array_equal(descriptions[::2], descriptions[1::2])
    np.testing.assert_array_equal(descriptions[:, :-3], world.coordinates[labels])
    for whole, cut_out in zip(pictures[::2], pictures[1::2], strict=True):
        kept = cut_out.any(axis=2)
        np.testing.assert_array_equal(cut_out[kept], whole[kept])
        assert 0 < kept.mean() < 0.9
    np.testing.assert_array_equal(batches(epoch=0)[1][0], pictures)
    assert (batches(epoch=1)[1][0] != pictures).any()
    assert (batches(epoch=0)[2][0] != pictures).any()
