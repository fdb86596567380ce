from pathlib import Path

import numpy as np

from seedlings.io.partial_results import PartialResults


def test_partial_results_are_valid_for_their_key_alone(tmp_path: Path) -> None:
    target = tmp_path / "model"
    arrays = [np.arange(6.0).reshape(2, 3), np.array(7)]
    PartialResults(target, "one").save("epoch", arrays, {"epochs": 3})
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


def test_saving_again_replaces_what_was_saved(tmp_path: Path) -> None:
    partial = PartialResults(tmp_path / "model", "key")
    partial.save("epoch", [np.array(1)], 1)
    partial.save("epoch", [np.array(2), np.array(3)], 2)
    arrays, facts = partial.load("epoch")
    assert ([int(array) for array in arrays], facts) == ([2, 3], 2)
