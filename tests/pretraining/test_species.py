import numpy as np
import pytest

import species
from seedlings.data.sample import SPECIES, Species


def test_no_species_is_near_one_of_the_sample() -> None:
    forms = species.draw(300, distance=0.2, seed=3)
    assert len(forms) == 300
    nearest = [
        min(species.distance_between(form.species, other) for other in SPECIES) for form in forms
    ]
    assert min(nearest) > 0.2
    anywhere = species.draw(300, distance=0.0, seed=3)
    assert any(
        species.distance_between(form.species, other) < 0.2
        for form in anywhere
        for other in SPECIES
    )


def test_the_first_species_do_not_depend_on_their_number() -> None:
    assert species.draw(20, distance=0.2, seed=3)[:5] == species.draw(5, distance=0.2, seed=3)
    assert species.draw(5, distance=0.2, seed=4) != species.draw(5, distance=0.2, seed=3)


def test_distances_by_hand() -> None:
    one = Species("", (2, 4), "fan", aspect=0.025, widest=0.3)
    assert species.distance_between(one, one) == 0.0
    other = Species("", (2, 4), "whorl", aspect=0.025, widest=0.3)
    assert species.distance_between(one, other) == pytest.approx(1.0)
    wider = Species("", (2, 4), "fan", aspect=0.25, widest=0.3)
    assert species.distance_between(one, wider) == pytest.approx(1 / 1.6)
    more = Species("", (6, 8), "fan", aspect=0.025, widest=0.3)
    assert species.distance_between(one, more) == pytest.approx(0.5)
    lobed = Species("", (2, 4), "fan", aspect=0.025, widest=0.3, lobes=9, depth=0.5)
    assert species.distance_between(one, lobed) == pytest.approx(np.hypot(1.0, 0.5))
