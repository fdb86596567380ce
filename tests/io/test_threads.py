import itertools
import os
import threading
import time

import numpy as np
import pytest

from seedlings.io import threads


@pytest.fixture(autouse=True, params=[1, 2, 7])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(threads, "cores", lambda: request.param)
    return request.param


def test_results_are_in_the_order_of_the_items(rng: np.random.Generator) -> None:
    pauses = rng.uniform(0, 0.004, 60).tolist()

    def slowly(number: int) -> int:
        time.sleep(pauses[number])
        return number * number

    assert list(threads.in_order(slowly, range(60))) == [number**2 for number in range(60)]


def test_as_many_items_as_there_are_cores_are_computed_at_once(cores: int) -> None:
    all_here = threading.Barrier(cores)  # each waits for the others
    found = list(threads.in_order(lambda _: all_here.wait(60), range(3 * cores)))
    assert sorted(found) == sorted([*range(cores)] * 3)


def test_few_results_wait_until_they_are_used(cores: int) -> None:
    items = itertools.count()
    for used, _ in enumerate(itertools.islice(threads.in_order(str, items), 500), start=1):
        taken = int(repr(items).removeprefix("count(").removesuffix(")"))
        assert taken <= used + 2 * cores


def test_the_first_error_in_the_order_is_raised_in_its_place() -> None:
    def fails(number: int) -> int:
        if number in (5, 3):
            raise ValueError(f"item {number}")
        return number

    used = threads.in_order(fails, [0, 1, 2, 3, 4, 5])
    assert [next(used) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3"):
        next(used)


def test_without_items_there_are_no_results() -> None:
    assert list(threads.in_order(str, [])) == []


def test_the_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert threads.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert threads.cores() == len(allowed)
