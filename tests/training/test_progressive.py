from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assembly import FROM_SCRATCH, classifier, composed
from numpy.typing import NDArray

from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.io.partial_results import PartialResults
from seedlings.networks.runtime import keras
from seedlings.params import Params
from seedlings.tasks import TASKS
from seedlings.training import fit, progressive, trained_model
from seedlings.training.batches import Batches

TASK = TASKS["multiclass"]
FULL = (24, 24)


def parameters(*changes: str) -> Params:
    """A small network from scratch, with averaged weights, on three sizes."""
    share = "finetune.progressive.share=0.8"
    return composed("sample", "model=seedlings", "train=scratch", *FROM_SCRATCH, share, *changes)


def model_of(settings: Params) -> "keras.Model":
    keras.utils.set_random_seed(5)
    return classifier(settings, FULL, 3, TASK)


def images(rng: np.random.Generator, count: int = 24) -> tuple[NDArray[np.uint8], NDArray]:
    labels = np.arange(count) % 3
    drawn = rng.integers(0, 80, (count, *FULL, 3))
    return (drawn + 120 * np.eye(3, dtype=int)[labels][:, None, None]).astype(np.uint8), labels


def trained(
    settings: Params,
    inputs: NDArray,
    labels: NDArray,
    on_epoch: Callable[[int, Any], None] | None = None,
    **options: Any,
) -> tuple["keras.Model", Record]:
    model, record = model_of(settings), Record("finetune")
    record.on_epoch = on_epoch
    train = Batches(inputs, labels, size=8, seed=1)
    validation = Batches(inputs, labels, size=8)
    fit.train_head(
        model, train, validation, record=record, task=TASK, params=settings.finetune, **options
    )
    return model, record


def test_the_sizes_have_equal_parts_of_the_share_and_the_full_size_the_rest() -> None:
    plan = parameters().finetune.progressive
    small, middle = (12, 12), (16, 16)
    sizes = [progressive.size_of(epoch, 10, plan) for epoch in range(10)]
    assert sizes == [small] * 4 + [middle] * 4 + [None] * 2
    sizes = [progressive.size_of(epoch, 3, plan) for epoch in range(3)]
    assert sizes == [small, middle, None]
    assert [progressive.size_of(epoch, 2, plan) for epoch in range(2)] == [small, None]
    assert progressive.size_of(0, 1, plan) is None
    plain = plan.model_copy(update={"sizes": []})
    assert {progressive.size_of(epoch, 10, plain) for epoch in range(10)} == {None}


def test_images_are_resized_by_the_mean_of_areas_in_training_alone() -> None:
    layer = progressive.Resizing((4, 4))
    pixels = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1).repeat(3, axis=3) * 10
    layer.size.assign((2, 2))
    resized = np.asarray(layer(pixels, training=True))
    means = pixels.reshape(1, 2, 2, 2, 2, 3).mean(axis=(2, 4))
    np.testing.assert_array_equal(resized, np.rint(means))
    np.testing.assert_array_equal(np.asarray(layer(pixels, training=False)), pixels)
    layer.size.assign((4, 4))
    np.testing.assert_array_equal(np.asarray(layer(pixels, training=True)), pixels)


@pytest.mark.slow
def test_a_killed_training_on_several_sizes_ends_with_the_same_weights(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    inputs, labels = images(rng)
    settings = parameters("finetune.replicas=2")
    whole, expected = trained(settings, inputs, labels)

    def kill(epoch: int, values: Any) -> None:
        if epoch == 3:  # the second size
            raise KeyboardInterrupt

    partial = PartialResults(tmp_path / "models", "one")
    with pytest.raises(KeyboardInterrupt):
        trained(settings, inputs, labels, kill, partial=partial)
    again, found = trained(settings, inputs, labels, partial=partial)
    assert found.curves == expected.curves
    for one, other in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_the_compiled_steps_train_on_the_size(rng: np.random.Generator) -> None:
    """Images with the same means of 2 x 2 pixels have the same loss, until the full size."""
    means = rng.integers(50, 150, (24, 12, 12, 3), dtype=np.uint8)
    flat = means.repeat(2, axis=1).repeat(2, axis=2)
    textured = flat.copy()
    textured[:, ::2, ::2] += 40
    textured[:, 1::2, 1::2] -= 40
    settings = parameters("finetune.epochs=2", "finetune.progressive.sizes=[[12,12]]")
    losses = [trained(settings, i, np.arange(24) % 3)[1].curves["loss"] for i in (flat, textured)]
    assert losses[0][0] == losses[1][0]
    assert losses[0][1] != losses[1][1]


def test_a_size_that_is_too_small_for_the_network_is_refused() -> None:
    settings = parameters(
        "finetune.convnet.filters=[8,16,8,16]", "finetune.progressive.sizes=[[12,12]]"
    )
    model = classifier(settings, FULL, 3, TASK)
    message = "finetune.progressive.sizes: 12 x 12 is too small for the network"
    with (
        pytest.raises(SeedlingsError, match=message),
        trained_model.prepared(model, settings.finetune),
    ):
        pass
    assert model.get_layer("head").input_spec is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["segment.pixels=[14,14]"],
            "finetune.progressive.sizes of at most 14 x 14 .segment.pixels.",
        ),
        (["finetune.early_stopping=3"], "early_stopping null with progressive.sizes"),
        (["finetune.head.pooling=flatten"], "head.pooling average or max with progressive.sizes"),
        (["model=vgg16"], r"finetune.progressive.sizes \[\], or extract.backbone `none`"),
        (["extract.center_crop=[16,16]"], "without cropping and center_crop"),
    ],
)
def test_parameters_that_contradict_several_sizes_are_refused(
    changes: list[str], message: str
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        parameters(*changes)
