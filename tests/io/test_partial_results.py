import itertools
from pathlib import Path

import kills
import numpy as np

from seedlings.io.partial_results import PartialResults


def test_partial_results_are_valid_for_their_key_alone(tmp_path: Path) -> None:
    target = tmp_path / "model"
    arrays = [np.arange(6.0).reshape(2, 3), np.array(7)]
    PartialResults(target, "one").save("epoch", arrays[:1], {"epochs": 2})
    PartialResults(target, "one").save("epoch", arrays, {"epochs": 3})  # in place of the other
    partial = PartialResults(target, "one")
    assert "epoch" in partial
    found, facts = partial.load("epoch")
    assert facts == {"epochs": 3}
    for back, array in zip(found, arrays, strict=True):
        assert np.array_equal(back, array)
    assert "epoch" not in PartialResults(target, "other")
    assert "epoch" not in PartialResults(target, "one")
    partial = PartialResults(target, "one")
    partial.save("epoch", arrays)
    partial.remove()
    assert list(tmp_path.iterdir()) == []
    assert "epoch" not in PartialResults(target, "one")


def test_a_kill_while_results_of_another_key_are_removed_mixes_none(tmp_path: Path) -> None:
    for number in itertools.count(1):
        target = tmp_path / str(number) / "model"
        before = PartialResults(target, "one")
        for name in ("a", "b", "c"):
            before.save(name, [np.array(1)], name)
        done = kills.completes(
            lambda target=target: PartialResults(target, "two"), tmp_path, number
        )
        left = PartialResults(target, "one")
        for name in ("a", "b", "c"):
            assert name not in left or left.load(name)[1] == name
        after = PartialResults(target, "two")
        assert not any(name in after for name in ("a", "b", "c"))
        if done:
            break
    assert number > 5


def test_the_results_of_a_worker_and_of_its_successor_do_not_mix(tmp_path: Path) -> None:
    partial = PartialResults(tmp_path / "model", "key")
    late = partial.folder / ".epoch.npz.0123abcd.partial"  # of a worker that still writes
    late.write_bytes(b"half")
    partial.save("epoch", [np.array(2)], 2)
    assert partial.load("epoch")[1] == 2
    assert late.exists()
    PartialResults(tmp_path / "model", "key")
    assert not late.exists()
