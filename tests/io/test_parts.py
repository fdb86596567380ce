import hashlib

import numpy as np
import pytest

from seedlings.io import parts as module
from seedlings.io.parts import Parts, digests


def names(start: int, stop: int) -> np.ndarray:
    numbers = (hashlib.md5(str(n).encode()).hexdigest() for n in range(start, stop))
    return digests(sorted(numbers))


@pytest.mark.parametrize("count", [1, 2, 40, 960, 1440, 5000])
def test_every_row_has_a_slot_of_its_own_in_the_part_of_its_first_bits(count: int) -> None:
    parts = Parts(names(0, count))
    assert parts.count >= 4 * count**0.5 > parts.count / 2
    assert len(set(parts.slots.tolist())) == count
    for digest, slot in zip(parts.unique.tolist(), parts.slots.tolist(), strict=True):
        share = int(digest, 16) / 16**32
        assert slot // parts.capacity == int(share * parts.count)
    assert np.concatenate([*parts]).tolist() == sorted(parts.unique.tolist())


def test_a_new_row_changes_the_slots_of_its_part_alone() -> None:
    before, after = Parts(names(0, 1440)), Parts(names(0, 1455))
    assert before.count == after.count == 256
    moved = before.slots != after.slots_of(before.unique)
    touched = set((after.slots_of(names(1440, 1455)) // after.capacity).tolist())
    assert len(touched) <= 15
    assert set((before.slots[moved] // before.capacity).tolist()) <= touched


def test_the_number_of_parts_doubles() -> None:
    assert [Parts(names(0, n)).count for n in (1024, 1025, 4096, 4097)] == [128, 256, 256, 512]


def test_a_part_that_is_full_doubles_the_number_of_parts() -> None:
    crowded = digests([f"{n:032x}" for n in range(40)] + ["f" * 32])
    parts = Parts(crowded)
    assert parts.sizes.max() == 40 <= parts.capacity
    assert parts.count == 256


def test_what_is_no_digest_is_refused() -> None:
    with pytest.raises(ValueError, match="32 hex digits, found"):
        digests(["abc"])
    assert len(digests([])) == 0


def test_parts_of_large_rows_are_limited() -> None:
    rows = names(0, 5000)
    small, large = Parts(rows, 60_000), Parts(rows, 2**23)
    assert small.capacity * 60_000 < 256 * 2**20
    assert large.count > small.count
    assert large.capacity * 2**23 <= 256 * 2**20
    assert large.sizes.max() <= large.capacity


def test_the_digest_of_a_row_depends_on_its_shape_and_type_too() -> None:
    black = [
        np.zeros((2, 3), np.uint8),
        np.zeros((3, 2), np.uint8),
        np.zeros(6, np.uint8),
        np.zeros((2, 3), np.int8),
        np.ones((2, 3), np.uint8),
    ]
    assert len({module.row_digest(row) for row in black}) == len(black)
    assert module.row_digest(black[0]) == module.row_digest(np.zeros((3, 2), np.uint8).T)
