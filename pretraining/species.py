"""Random species: points of the space of shapes that the sample's twelve species come from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seedlings.data.sample import SPECIES, Species

_ARRANGEMENTS = {"fan": 0.25, "opposite": 0.3, "rosette": 0.3, "whorl": 0.15}


@dataclass(frozen=True, slots=True)
class Form:
    """A species, and the shape of its seed leaves (cotyledons), which is the same in the sample."""

    species: Species
    seed_leaf: Species


def draw(count: int, *, distance: float, seed: int) -> list[Form]:
    """Return `count` random species, each farther than `distance` from those of the sample.

    See `distance_between`. Equal arguments give equal species, and the first n species do not
    depend on `count`.
    """
    rng = np.random.default_rng([seed, 0])
    forms: list[Form] = []
    while len(forms) < count:
        form = Form(_species(rng, name=f"species {len(forms)}"), _seed_leaf(rng))
        if min(distance_between(form.species, other) for other in SPECIES) > distance:
            forms.append(form)
    return forms


def distance_between(one: Species, other: Species) -> float:
    """Return the Euclidean distance of two species in the space of `coordinates`."""
    return float(np.linalg.norm(coordinates(one) - coordinates(other)))


def coordinates(species: Species) -> NDArray[np.float64]:
    """Return the 12 coordinates of a species, each about 0 to 1.

    The first four are the arrangement: 1 / sqrt 2 for its own, so that two arrangements have a
    distance of 1. The others are the mean number of leaves / 8, log10 (aspect / 0.025) / 1.6,
    widest, stalk, lobes / 9, depth (0 without lobes), bend / 0.5 and cotyledons.
    """
    arrangement = [(name == species.arrangement) / np.sqrt(2.0) for name in _ARRANGEMENTS]
    leaves = (species.leaves[0] + species.leaves[1]) / 16.0
    aspect = np.log10(species.aspect / 0.025) / 1.6
    shape = [species.widest, species.stalk, species.lobes / 9.0]
    depth = species.depth if species.lobes else 0.0
    return np.array(
        [*arrangement, leaves, aspect, *shape, depth, species.bend / 0.5, species.cotyledons]
    )


def _species(rng: np.random.Generator, name: str) -> Species:
    arrangement = str(rng.choice(list(_ARRANGEMENTS), p=list(_ARRANGEMENTS.values())))
    grass = arrangement == "fan"
    fewest = int(rng.integers(1, 5) if grass else rng.integers(2, 9))
    lobed = not grass and rng.random() < 0.55
    return Species(
        name,
        (fewest, fewest + int(rng.integers(0, 4))),
        arrangement,
        aspect=float(np.exp(rng.uniform(*np.log((0.025, 0.25) if grass else (0.15, 1.1))))),
        widest=float(rng.uniform(0.25, 0.75)),
        stalk=0.0 if grass else float(max(0.0, rng.uniform(-0.15, 0.6))),
        lobes=int(rng.integers(2, 10)) if lobed else 0,
        depth=float(rng.uniform(0.2, 0.95)) if lobed else 0.0,
        bend=float(rng.uniform(0.03, 0.5 if grass else 0.3)),
        cotyledons=0.0 if grass else float(max(0.0, rng.uniform(-0.2, 0.9))),
    )


def _seed_leaf(rng: np.random.Generator) -> Species:
    return Species(
        "seed leaf",
        (2, 2),
        "opposite",
        aspect=float(np.exp(rng.uniform(*np.log((0.12, 1.1))))),
        widest=float(rng.uniform(0.35, 0.75)),
        stalk=float(max(0.0, rng.uniform(-0.1, 0.5))),
        bend=float(rng.uniform(0.02, 0.15)),
    )
