"""The training images: plants of random species, whole and cut out, drawn when they are needed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import plants
import species
from seedlings.networks.runtime import keras

Batch = tuple[NDArray[np.uint8], tuple[NDArray[np.int64], NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class World:
    """What plants are drawn from: species, their coordinates (mean 0, deviation 1), and grounds."""

    forms: list[species.Form]
    coordinates: NDArray[np.float32]
    grounds: plants.Pixels

    @property
    def numbers(self) -> int:
        """The length of the description of an image."""
        return self.coordinates.shape[1] + 3


def world(*, classes: int, distance: float, grounds: int, ground_size: int, seed: int) -> World:
    """Return the world of a seed; `distance` is that of species.draw, sizes are in pixels."""
    forms = species.draw(classes, distance=distance, seed=seed)
    values = np.array(
        [
            [*species.coordinates(form.species), form.seed_leaf.aspect, form.seed_leaf.stalk]
            for form in forms
        ]
    )
    spread = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return World(
        forms,
        values.astype(np.float32),
        plants.draw_grounds(grounds, size=ground_size, seed=seed),
    )


class Images(keras.utils.PyDataset):
    """The batches of one epoch. Batch i of epoch e depends on the seed, e and i alone.

    Half of a batch are whole images, half the same plants cut out, on black. A batch is N x size x
    size x 3 (RGB uint8), the species (N) and the description (N x numbers): the coordinates of the
    species and three numbers of the plant (plants.draw).
    """

    def __init__(
        self, world: World, *, batches: int, batch_size: int, size: int, seed: int, epoch: int
    ) -> None:
        super().__init__(workers=1, max_queue_size=4)
        self._world, self._batches, self._batch_size = world, batches, batch_size
        self._size, self._key = size, (seed, 2, epoch)

    def __len__(self) -> int:
        return self._batches

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng([*self._key, number])
        world, images, labels, descriptions = self._world, [], [], []
        for label in rng.integers(0, len(world.forms), self._batch_size // 2):
            drawn, numbers = plants.draw(
                world.forms[label], world.grounds, size=self._size, rng=rng
            )
            whole, mask = drawn[..., :3], drawn[..., 3:]
            images += [whole, np.where(mask, whole, 0)]
            labels += [label, label]
            descriptions += [np.concatenate([world.coordinates[label], numbers])] * 2
        return np.stack(images), (np.array(labels), np.stack(descriptions))
