import hashlib
import subprocess
import sys

import numpy as np
import pytest
from imports import ROOT
from numpy.typing import NDArray

from seedlings.networks import layers
from seedlings.networks.runtime import keras
from seedlings.training import replicas

# Trains a small network twice with two replicas at the same time; prints digests of its weights.
_TRAINING = """
import hashlib
import numpy as np
from seedlings.networks import layers
from seedlings.networks.runtime import keras, prepare
from seedlings.training import replicas
replicas.use_threads(2, 2)
images = np.random.default_rng(1).random((64, 16, 16, 3), np.float32)
for _ in range(2):
    prepare(1, 2)
    inner = keras.Sequential([keras.Input((16, 16, 3))])
    for filters in (16, 32, 32):
        inner.add(keras.layers.Conv2D(filters, 3, use_bias=False))
        inner.add(layers.BatchNormalization(momentum=0.9))
        inner.add(keras.layers.ReLU())
    inner.add(keras.layers.GlobalAveragePooling2D())
    inner.add(keras.layers.Dropout(0.3))
    inner.add(keras.layers.Dense(3, activation="softmax"))
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, replicas.apply(inner, inputs, 2))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(images, np.arange(64) % 3, batch_size=15, epochs=4, shuffle=False, verbose=0)
    print(hashlib.sha256(b"".join(w.tobytes() for w in inner.get_weights())).hexdigest())
"""


def network(*inner: "keras.layers.Layer") -> "keras.Model":
    return keras.Sequential([keras.Input((6,)), *inner, keras.layers.Dense(2, name="output")])


def divided(inner: "keras.Model", count: int) -> "keras.Model":
    inputs = keras.Input((6,), name="input")
    return keras.Model(inputs, replicas.apply(inner, inputs, count))


@pytest.fixture
def points(rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.normal(size=(7, 6)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("examples", [1, 2, 3, 7])
def test_the_outputs_are_those_of_the_network_in_order(
    count: int, examples: int, points: NDArray[np.float32]
) -> None:
    inner = network(keras.layers.Dense(5, activation="tanh"))
    found = divided(inner, count).predict(points[:examples], verbose=0)
    np.testing.assert_allclose(found, inner.predict(points[:examples], verbose=0), atol=1e-6)


@pytest.mark.parametrize(
    ("examples", "expected"), [(7, [[0, 1], [2, 3], [4, 5, 6]]), (2, [[0], [1], [0]])]
)
def test_parts_are_nearly_equal_and_never_empty(
    examples: int, expected: list[list[int]], points: NDArray[np.float32]
) -> None:
    parts = replicas.Division(3)(points[:examples])
    for part, rows in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(part, points[rows])


@pytest.mark.parametrize("examples", [1, 6])
def test_a_step_is_that_of_the_whole_batch(examples: int, points: NDArray[np.float32]) -> None:
    start = network().get_weights()
    labels = np.arange(examples) % 2
    after = []
    for count in (1, 3):
        inner = network()
        inner.set_weights(start)
        model = divided(inner, count)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.5), loss)
        model.train_on_batch(points[:examples], labels)
        after.append(inner.get_weights())
    for one, other in zip(*after, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert not np.allclose(after[0][0], start[0])


def test_each_replica_normalises_its_part_and_all_update_the_moving_statistics(
    points: NDArray[np.float32],
) -> None:
    normalization = layers.BatchNormalization(momentum=0.5, epsilon=1e-6)
    inner = keras.Sequential([keras.Input((6,)), normalization])
    inputs = keras.Input((6,), name="input")
    model = keras.Model(inputs, replicas.apply(inner, inputs, 2))
    found = np.asarray(model(points, training=True))
    parts = [points[:3], points[3:]]
    expected = [(part - part.mean(axis=0)) / part.std(axis=0) for part in parts]
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-3)
    moving = 0.25 * parts[0].mean(axis=0) + 0.5 * parts[1].mean(axis=0)
    np.testing.assert_allclose(normalization.moving_mean, moving, atol=1e-6)


@pytest.mark.slow
def test_replicas_at_the_same_time_give_the_same_bytes() -> None:
    done = subprocess.run(  # two replicas need other threads than this process has
        [sys.executable, "-c", _TRAINING],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split()
    assert first == second
    assert len(first) == len(hashlib.sha256().hexdigest())
