from typing import Any

import numpy as np
import pytest
from assembly import classifier, composed, head

from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.networks import backbones
from seedlings.networks.runtime import keras
from seedlings.params import Params
from seedlings.tasks import TASKS
from seedlings.training import fit, precision, trained_model
from seedlings.training.batches import Batches

TASK = TASKS["multiclass"]
SIZE = (16, 16)
BFLOAT16 = ["portable=false", "finetune.precision=bfloat16"]


@pytest.fixture(autouse=True)
def _any_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_has_bfloat16", lambda: True)


def parameters(*changes: str) -> Params:
    arguments = ["sample", "model=seedlings", "segment.pixels=[16,16]", "finetune.epochs=2"]
    small = ["finetune.convnet.stem_filters=[8]", "finetune.convnet.filters=[8]"]
    return composed(*arguments, *small, *changes)


@pytest.mark.parametrize("changes", [[], ["finetune.replicas=2"], BFLOAT16])
def test_only_parameters_that_differ_make_another_model(changes: list[str]) -> None:
    settings = parameters(*changes)
    model = classifier(settings, SIZE, 3, TASK)
    with trained_model.prepared(model, settings.finetune) as trained:
        assert (trained is model) == (not changes)
        assert trained.input_shape == model.input_shape
        layers = trained.get_layer("head").layers
        dtypes = {layer.name: layer.compute_dtype for layer in layers}
    lowered = {"bfloat16"} if changes == BFLOAT16 else {"float32"}
    assert {dtypes[name] for name in dtypes if "conv2d" in name} == lowered
    assert dtypes["output"] == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
def test_the_given_model_has_the_trained_weights(whole: bool, rng: np.random.Generator) -> None:
    settings = parameters("finetune.replicas=2")
    keras.utils.set_random_seed(5)
    model: Any = classifier(settings, SIZE, 3, TASK)
    inputs: Any = rng.integers(0, 80, (24, *SIZE, 3)).astype(np.uint8)
    labels = np.arange(24) % 3
    inputs[np.arange(24), :, :, labels] += 120
    if not whole:
        backbone = backbones.build(settings.extract, *SIZE)
        model = head(backbone, 3, TASK, settings.finetune)
        inputs = inputs.astype(np.float32) / 255.0
    before = model.get_weights()
    batches = Batches(inputs, labels, size=8, seed=1)
    record = Record("finetune")
    fit.train_head(model, batches, batches, record=record, task=TASK, params=settings.finetune)
    assert not any(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))
    score = fit.score(model, batches)
    assert score["loss"] < record.curves["loss"][0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["finetune.replicas=3"], "finetune.replicas that divides threads, which is 2"),
        (["finetune.precision=bfloat16"], "precision `float32`, or `portable: false`"),
        (["finetune.precision=auto"], "precision `float32`, or `portable: false`"),
        (
            ["finetune.replicas=2", "finetune.regularization.activity.l2=0.1"],
            "finetune.*replicas 1 with regularization.activity",
        ),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    changes: list[str], message: str
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        parameters(*changes)
