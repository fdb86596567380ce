from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.networks import architectures, layers
from seedlings.networks.runtime import keras
from seedlings.params import check
from seedlings.tasks import TASKS
from seedlings.training import batches, fit
from seedlings.training.batches import Batches
from seedlings.training.params import Finetune

TASK = TASKS["multiclass"]


@pytest.fixture(autouse=True)
def _the_same_first_weights() -> None:
    keras.utils.set_random_seed(0)


@pytest.fixture
def finetune(tree: dict[str, Any]) -> Callable[..., Finetune]:
    def make(**changes: Any) -> Finetune:
        for key, value in changes.items():
            *sections, last = key.split("__")
            branch = tree["finetune"]
            branch["calibrate"] = False  # weights are looked at as training left them
            for section in sections:
                branch = branch[section]
            branch[last] = value
        return check(tree).finetune

    return make


def clouds(rng: np.random.Generator, count: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Three clouds of points that a linear model can tell apart."""
    labels = np.arange(count) % 3
    centres = np.array([[4.0, 0.0], [0.0, 4.0], [-4.0, -4.0]])
    return (centres[labels] + rng.normal(size=(count, 2))).astype(np.float32), labels


def linear() -> "keras.Model":
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax")])


def compiled(model: "keras.Model", optimizer: "keras.optimizers.Optimizer") -> None:
    model.compile(optimizer, TASK.loss, metrics=[TASK.epoch_metric])


@pytest.mark.parametrize(
    ("name", "kind", "constants"),
    [
        ("sgd", "SGD", {"momentum": 0.7}),
        ("rmsprop", "RMSprop", {"momentum": 0.3}),
        ("adam", "Adam", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4}),
        ("adamw", "AdamW", {"weight_decay": 0.02}),
        ("muon", "Muon", {"weight_decay": 0.02, "momentum": 0.6, "epsilon": 1e-4}),
    ],
)
def test_the_optimiser_has_its_constants(
    name: str, kind: str, constants: dict[str, float], finetune: Callable[..., Finetune]
) -> None:
    changes = {f"optimizer__{constant}": value for constant, value in constants.items()}
    params = finetune(optimizer__name=name, **changes)
    optimizer = fit.make_optimizer(params, rate=0.1, epochs=1, steps=10)
    assert type(optimizer).__name__ == kind
    assert {constant: getattr(optimizer, constant) for constant in constants} == constants


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"name": "constant"}, {0: 2.0, 100: 2.0}),
        ({"name": "cosine"}, {0: 2.0, 50: 1.01, 100: 0.02}),
        ({"name": "cosine", "warmup_epochs": 2}, {0: 0.0, 10: 1.0, 20: 2.0, 60: 1.01, 100: 0.02}),
        ({"name": "exponential"}, {0: 2.0, 50: 0.2, 100: 0.02}),
    ],
)
def test_the_learning_rate_follows_the_schedule(
    schedule: dict[str, Any], expected: dict[int, float], finetune: Callable[..., Finetune]
) -> None:
    changes = {f"schedule__{key}": value for key, value in schedule.items()}
    params = finetune(schedule__final_share=0.01, **changes)
    rate = fit.make_optimizer(params, rate=2.0, epochs=10, steps=10)._learning_rate
    found = {
        step: float(rate if schedule["name"] == "constant" else rate(step)) for step in expected
    }
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("patience", "epochs"), [(4, 5), (9, 6)])
def test_the_best_weights_are_restored_whether_it_stops_or_not(
    patience: int,
    epochs: int,
    finetune: Callable[..., Finetune],
    rng: np.random.Generator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    points, labels = clouds(rng)
    good = Batches(points, labels, size=30)
    opposite = Batches(points, (labels + 1) % 3, size=30)  # learning only makes it worse
    model, record = linear(), Record("finetune")
    compiled(model, keras.optimizers.SGD(0.5))
    fit.fit(
        model,
        good,
        opposite,
        record=record,
        epochs=6,
        options=finetune(early_stopping=patience),
    )
    losses = record.curves["val_loss"]
    assert len(losses) == epochs
    assert fit.score(model, opposite)["loss"] == pytest.approx(min(losses), rel=1e-5)
    assert losses[-1] > losses[0]
    stopped = "stopped after epoch 5; " if epochs < 6 else ""
    assert capsys.readouterr().out == (
        f"finetune: {stopped}the weights of epoch 1 of 6, with the lowest validation loss, "
        "are kept\n"
    )


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_the_baseline_learns_from_images_of_any_brightness_and_size(
    task: str, tree: dict[str, Any], rng: np.random.Generator
) -> None:
    kind, (targets, names) = TASKS[task], (np.arange(60) % 3, 3 if task == "multiclass" else 1)
    truth = targets.astype(np.int64 if task == "multiclass" else np.float32)
    losses = []
    for brightness, contrast, side in ((0, 1, 8), (180, 1, 8), (60, 3, 8), (180, 1, 64)):
        noise = rng.integers(0, 40, (60, side, side, 3))
        noise[:, :, :, 0] += 10 * targets[:, None, None]
        images = (brightness + contrast * noise).astype(np.uint8)
        mean, scale = batches.pixel_scaling(images)
        model = architectures.baseline(images.shape[1:], names, kind, mean=mean, scale=scale)
        data = Batches(images, truth, size=16, seed=0)
        params = check(tree).baseline
        fit.train_baseline(model, data, data, record=Record("x", {}), task=kind, params=params)
        losses.append(fit.score(model, data)["loss"])
    assert max(losses) < (0.9 if task == "multiclass" else 0.5) * np.log(3)


def test_balanced_weights_make_classes_count_the_same() -> None:
    weights = fit.balanced_weights(np.array([0, 0, 0, 1]))
    assert weights == pytest.approx({0: 4 / 6, 1: 2.0})


def two_part_head() -> "keras.Model":
    inputs = keras.Input((2,))
    inner = keras.Input((2,))
    normalized = keras.layers.BatchNormalization()(keras.layers.Dense(8)(inner))
    trainable = keras.Model(inner, normalized, name="trainable_layers")
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(trainable(inputs)))


@pytest.mark.slow
def test_the_trainable_layers_learn_in_the_second_phase_alone(
    finetune: Callable[..., Finetune], rng: np.random.Generator
) -> None:
    points, labels = clouds(rng)
    data = Batches(points, labels, size=30)
    for epochs, moves in ((0, False), (2, True)):
        head = two_part_head()
        before = [weight.copy() for weight in head.get_layer("trainable_layers").get_weights()]
        params = finetune(epochs=2, unfreeze__epochs=epochs, unfreeze__learning_rate=0.01)
        if not epochs:
            head.get_layer("trainable_layers").trainable = False
        record = Record("finetune")
        fit.train_head(head, data, data, record=record, task=TASK, params=params)
        after = head.get_layer("trainable_layers").get_weights()
        assert len(record.curves["loss"]) == 2 + epochs
        assert (not np.array_equal(before[0], after[0])) == moves
        for old, new in zip(before[2:], after[2:], strict=True):  # batch normalisation
            assert np.array_equal(old, new)


def test_history_is_a_row_an_epoch() -> None:
    curves = {
        "loss": [2.0, 1.0],
        "accuracy": [0.5, 0.75],
        "val_loss": [3.0, 2.0],
        "val_accuracy": [0.4, 0.6],
    }
    record = Record("baseline", curves=curves)
    table = fit.history(record, TASK)
    assert table.columns.tolist() == ["epoch", "loss", "score", "val_loss", "val_score"]
    assert table.to_numpy().tolist() == [[1, 2.0, 0.5, 3.0, 0.4], [2, 1.0, 0.75, 2.0, 0.6]]


@pytest.mark.slow
def test_a_second_phase_without_improvement_is_undone(
    finetune: Callable[..., Finetune], rng: np.random.Generator
) -> None:
    points, labels = clouds(rng)
    data = Batches(points, labels, size=30)
    misleading = Batches(points, (labels + 1) % 3, size=30)  # all that is learnt makes it worse
    params = finetune(epochs=5, unfreeze__epochs=3, unfreeze__learning_rate=0.1)
    head, record = two_part_head(), Record("finetune")
    fit.train_head(head, data, misleading, record=record, task=TASK, params=params)
    losses = record.curves["val_loss"]
    assert min(losses[5:]) > min(losses[:5])
    assert fit.score(head, misleading)["loss"] == pytest.approx(min(losses), rel=1e-4)


def pooled(units: int = 3) -> "keras.Model":
    """A whole model of points: a feature extractor of two layers and a linear head."""
    points = keras.Input((2,))
    x = keras.layers.Dense(6, activation="relu", name="first")(points)
    x = layers.BatchNormalization(name="normalization")(x)
    x = keras.layers.Dense(4, activation="relu", name="second")(x)
    below = keras.Model(points, x, name="below")
    image, features, inputs = keras.Input((2,)), keras.Input((4,)), keras.Input((2,))
    extractor = keras.Model(image, below(image), name="feature_extractor")
    extractor.trainable = False
    output = keras.layers.Dense(units, activation="softmax", name="output")(features)
    head = keras.Model(features, output, name="head")
    return keras.Model(inputs, head(extractor(inputs)))


@pytest.mark.parametrize(
    ("cut", "normalizes", "moving"),
    [
        ("first", False, ["second"]),
        (None, False, ["first", "second"]),
        ("first", True, ["normalization", "second"]),
        (None, True, ["first", "normalization", "second"]),
    ],
)
def test_the_unfrozen_layers_of_pooled_features_learn_with_the_head(
    cut: str | None,
    normalizes: bool,
    moving: list[str],
    finetune: Callable[..., Finetune],
    rng: np.random.Generator,
) -> None:
    points, labels = clouds(rng)
    data, model = Batches(points, labels, size=30), pooled()
    below = model.get_layer("feature_extractor").get_layer("below")
    before = {layer.name: layer.get_weights() for layer in below.layers if layer.weights}
    params = finetune(
        unfreeze__epochs=3,
        unfreeze__learning_rate=0.01,
        unfreeze__batch_normalization=normalizes,
    )
    record = Record("finetune")
    fit.train_unfrozen(model, data, data, record=record, task=TASK, params=params, cut=cut)
    after = {name: below.get_layer(name).get_weights() for name in before}
    assert moving == [
        name
        for name in before
        if not np.array_equal(np.ravel(before[name][0]), np.ravel(after[name][0]))
    ]
    statistics = (weights["normalization"][2:] for weights in (before, after))
    assert all(map(np.array_equal, *statistics)) != normalizes
    assert record.curves["val_loss"][-1] < record.curves["val_loss"][0]
    assert model.get_layer("feature_extractor").trainable_weights != []


def test_unfrozen_layers_without_improvement_are_as_before_and_frozen(
    finetune: Callable[..., Finetune], rng: np.random.Generator
) -> None:
    points, labels = clouds(rng)
    data, model = Batches(points, labels, size=30), pooled()
    misleading = Batches(points, (labels + 1) % 3, size=30)
    compiled(model, keras.optimizers.Adam(0.1))
    model.fit(points, (labels + 1) % 3, epochs=20, verbose=0)
    before = model.get_weights()
    params = finetune(unfreeze__epochs=3, unfreeze__learning_rate=0.1)
    options = {"record": Record("finetune"), "task": TASK, "params": params}
    fit.train_unfrozen(model, data, misleading, cut=None, **options)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(old, new)
    assert model.get_layer("feature_extractor").trainable_weights == []


def test_a_training_that_diverges_names_the_learning_rate(rng: np.random.Generator) -> None:
    points, labels = clouds(rng)
    data = Batches(points, labels, size=30)
    model = linear()
    compiled(model, keras.optimizers.SGD(1e38))
    with pytest.raises(SeedlingsError, match=r"diverged in epoch \d.*in the section baseline"):
        fit.fit(model, data, data, record=Record("baseline"), epochs=9)


@pytest.mark.slow
def test_balanced_class_weights_are_used(
    finetune: Callable[..., Finetune], rng: np.random.Generator
) -> None:
    points = np.zeros((90, 2), np.float32)  # nothing to learn but the frequencies
    labels = np.array([0] * 70 + [1] * 10 + [2] * 10)
    data = Batches(points, labels, size=90)
    shares = {}
    for weights in ("none", "balanced"):
        model = linear()
        compiled(model, keras.optimizers.Adam(0.1))
        fit.fit(
            model,
            data,
            data,
            record=Record("finetune"),
            epochs=60,
            options=finetune(class_weights=weights, early_stopping=None),
        )
        shares[weights] = model.predict(points, verbose=0).mean(axis=0)[0]
    assert shares["none"] == pytest.approx(70 / 90, abs=0.03)
    assert shares["balanced"] == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_training_is_traced_once(
    task: str, finetune: Callable[..., Finetune], rng: np.random.Generator
) -> None:
    traces = []

    class Counting(keras.Model):
        def train_step(self, data: Any) -> Any:
            traces.append(data)
            return super().train_step(data)

    inputs = keras.Input((2,))
    kind = TASKS[task]
    outputs = keras.layers.Dense(3 if task == "multiclass" else 1, activation=kind.activation)
    model, record = Counting(inputs, outputs(inputs)), Record("finetune")
    points, labels = clouds(rng)
    targets = labels if task == "multiclass" else (labels[:, None] == 1).astype(np.float32)
    data = Batches(points, targets, size=16, seed=0)
    fit.train_head(model, data, data, record=record, task=kind, params=finetune(epochs=2))
    assert len(traces) == 1
    assert set(record.curves) >= {"loss", kind.epoch_metric, f"val_{kind.epoch_metric}"}


@pytest.mark.slow
@pytest.mark.parametrize("patience", [None, 1])
def test_averaged_weights_are_validated_and_kept(
    patience: int | None, finetune: Callable[..., Finetune], rng: np.random.Generator
) -> None:
    points, labels = clouds(rng)
    data = Batches(points, labels, size=30)
    params = finetune(
        epochs=4,
        early_stopping=patience,
        optimizer__name="sgd",
        optimizer__momentum=0.0,
        optimizer__learning_rate=0.1,
        optimizer__average_weights=0.9,
        schedule__name="constant",
    )
    model, plain = linear(), linear()
    plain.set_weights(model.get_weights())
    seen = [np.concatenate([w.ravel() for w in plain.get_weights()])]
    record = Record("finetune")
    fit.train_head(model, data, data, record=record, task=TASK, params=params)
    compiled(plain, keras.optimizers.SGD(0.1))
    for _ in range(len(record.curves["loss"])):
        for inputs, targets in data:
            plain.train_on_batch(inputs, targets)
            seen.append(np.concatenate([w.ravel() for w in plain.get_weights()]))
    average = seen[1]  # as Keras begins it
    for weights in seen[2:]:
        average = 0.9 * average + 0.1 * weights
    found = np.concatenate([w.ravel() for w in model.get_weights()])
    np.testing.assert_allclose(found, average, rtol=1e-4, atol=1e-5)
    assert fit.score(model, data)["loss"] == pytest.approx(record.curves["val_loss"][-1])


@pytest.mark.parametrize(("task", "units"), [("multiclass", 3), ("binary", 1), ("multilabel", 2)])
def test_smoothing_spreads_a_share_of_each_label_evenly(
    task: str, units: int, rng: np.random.Generator
) -> None:
    loss = fit._smoothed(TASKS[task], 0.1)
    outputs = rng.dirichlet(np.ones(units + 1), 5)[:, :units].astype(np.float32)
    if task == "multiclass":
        outputs /= outputs.sum(axis=1, keepdims=True)
        labels = np.array([0, 2, 1, 1, 0])
        smooth = np.eye(3)[labels] * 0.9 + 0.1 / 3
        expected = -(smooth * np.log(outputs)).sum(axis=1).mean()
    else:
        labels = rng.integers(0, 2, (5, units)).astype(np.float32)
        smooth = labels * 0.9 + 0.05
        expected = -(smooth * np.log(outputs) + (1 - smooth) * np.log(1 - outputs)).mean()
    assert float(np.mean(loss(labels, outputs))) == pytest.approx(expected, rel=1e-4)


def test_smoothing_numbers_is_an_error() -> None:
    with pytest.raises(SeedlingsError, match=r"finetune\.label_smoothing: expected 0\.0"):
        fit._smoothed(TASKS["regression"], 0.1)


@pytest.mark.slow
def test_steps_are_rounded_to_whole_epochs(
    finetune: Callable[..., Finetune], rng: np.random.Generator
) -> None:
    points, labels = clouds(rng)
    data = Batches(points, labels, size=30)
    record = Record("finetune")
    params = finetune(epochs=99, steps=14)
    fit.train_head(linear(), data, data, record=record, task=TASK, params=params)
    assert len(record.curves["loss"]) == 5  # of three batches each
