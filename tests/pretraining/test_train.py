from pathlib import Path
from typing import Any

import numpy as np
import pytest

import images
import train
from seedlings.networks import runtime, vgg16
from seedlings.networks.runtime import keras

pytestmark = pytest.mark.slow


class KilledError(Exception):
    pass


@pytest.fixture
def params() -> dict[str, Any]:
    return {
        "seed": 3,
        "threads": 2,
        "world": {"classes": 4, "distance": 0.15, "grounds": 2, "ground_size": 64},
        "train": {
            "width": 0.0625,
            "batch_size": 8,
            "batches": 6,
            "phases": [{"pixels": 32, "epochs": 2}, {"pixels": 48, "epochs": 1}],
            "decay_epochs": 1,
            "learning_rate": 0.001,
            "weight_decay": 0.02,
            "description_weight": 3.0,
        },
    }


@pytest.mark.nightly
def test_a_killed_run_resumes_and_gives_the_same_bytes(
    params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests of a process share TensorFlow, whose threads are fixed at its first operation.
    monkeypatch.setattr(runtime, "prepare", lambda seed, threads: keras.utils.set_random_seed(seed))
    train.train(params, tmp_path / "whole")

    def killed(*arguments: Any, epoch: int, **options: Any) -> images.Images:
        if epoch == 1:
            raise KilledError
        return real(*arguments, epoch=epoch, **options)

    real = images.Images
    with monkeypatch.context() as patch:
        patch.setattr(images, "Images", killed)
        for name in ("resumed", "other"):
            with pytest.raises(KilledError):
                train.train(params, tmp_path / name)
            assert not (tmp_path / name).exists()
    epochs = []

    def counted(*arguments: Any, epoch: int, **options: Any) -> images.Images:
        epochs.append(epoch)
        return real(*arguments, epoch=epoch, **options)

    with monkeypatch.context() as patch:
        patch.setattr(images, "Images", counted)
        train.train(params, tmp_path / "resumed")
    assert epochs == [1, 2]
    for name in ("backbone.weights.h5", "history.csv"):
        resumed = (tmp_path / "resumed" / name).read_bytes()
        assert resumed == (tmp_path / "whole" / name).read_bytes()

    params["seed"] = 4  # the state of another training is not used
    train.train(params, tmp_path / "other")
    train.train(params, tmp_path / "rebuilt")
    other = (tmp_path / "other" / "history.csv").read_bytes()
    assert other == (tmp_path / "rebuilt" / "history.csv").read_bytes()
    assert other != (tmp_path / "whole" / "history.csv").read_bytes()
    assert not [*tmp_path.glob(".*")]  # no state is left

    backbone = vgg16.build((None, None, 3), 0.0625)
    backbone.load_weights(tmp_path / "whole" / "backbone.weights.h5")
    assert all(np.isfinite(weights).all() for weights in backbone.get_weights())
    rows = (tmp_path / "whole" / "history.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "epoch,size,description_loss,loss,species_accuracy,species_loss"
    assert [row.split(",")[:2] for row in rows[1:]] == [["0", "32"], ["1", "32"], ["2", "48"]]


def test_the_learning_rate_starts_low_and_falls_at_the_end() -> None:
    shares = [train._share(epoch, 6, decay=3) for epoch in range(6)]
    assert shares == [0.1, 1.0, 1.0, 0.75, 0.5, 0.25]
