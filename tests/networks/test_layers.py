from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seedlings.networks import layers, models
from seedlings.networks.runtime import keras, tf

Both = tuple["keras.layers.Layer", "keras.layers.Layer"]


@pytest.fixture
def normalizations(rng: np.random.Generator) -> Callable[..., Both]:
    """Ours and Keras' layer with the same weights, for inputs of `shape`."""

    def make(shape: tuple[int, ...]) -> Both:
        made = []
        for kind in (layers.BatchNormalization, keras.layers.BatchNormalization):
            layer = kind(momentum=0.9, epsilon=0.1, name="normalization")
            layer.build((None, *shape))
            made.append(layer)
        weights = [rng.uniform(0.5, 2.0, shape[-1:]).astype(np.float32) for _ in range(4)]
        for layer in made:
            layer.set_weights(weights)
        return made[0], made[1]

    return make


@pytest.mark.parametrize("inner", [3, 512, 1031, 1200, 6912])
def test_a_dense_layer_has_the_outputs_and_gradients_of_keras(
    inner: int, rng: np.random.Generator
) -> None:
    options = {"activation": "tanh", "kernel_regularizer": "l2", "activity_regularizer": "l1"}
    made = [kind(4, **options) for kind in (layers.Dense, keras.layers.Dense)]
    inputs = tf.constant(rng.normal(0.0, 1.0, (9, inner)).astype(np.float32))
    kernel = rng.normal(0.0, inner**-0.5, (inner, 4)).astype(np.float32)
    bias = rng.normal(0.0, 1.0, 4).astype(np.float32)
    found = []
    for layer in made:
        layer.build((None, inner))
        layer.set_weights([kernel, bias])
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
            loss = tf.reduce_sum(outputs * outputs) + tf.add_n(layer.losses)
        gradients = tape.gradient(loss, [inputs, *layer.trainable_weights])
        found.append([outputs, loss, *gradients])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    assert [weight.path.split("/")[-1] for weight in made[0].weights] == ["kernel", "bias"]


@pytest.mark.parametrize(("inner", "blocks"), [(1024, 2), (1200, 3), (6912, 16), (1031, 3)])
def test_a_long_product_is_the_sum_of_short_products(
    inner: int, blocks: int, rng: np.random.Generator
) -> None:
    layer = layers.Dense(2, use_bias=False)
    inputs = rng.normal(0.0, 1.0, (3, inner)).astype(np.float32)
    outputs = layer(inputs)
    size = -(-inner // blocks)
    assert size <= 512
    starts = range(0, inner, size)
    kernel = layer.get_weights()[0]
    parts = [inputs[:, start : start + size] @ kernel[start : start + size] for start in starts]
    assert len(parts) == blocks
    np.testing.assert_allclose(outputs, np.sum(parts, axis=0), atol=1e-5)
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((3, inner))).graph
    products = [x for x in graph.get_operations() if x.type in ("Einsum", "MatMul")]
    assert [tuple(x.inputs[0].shape) for x in products] == [(3, blocks, size)]


@pytest.mark.parametrize("shape", [(5,), (64,), (6, 7, 5), (4, 4, 16), (1, 1, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_batch_normalisation_has_the_outputs_gradients_and_statistics_of_keras(
    shape: tuple[int, ...],
    training: bool,
    normalizations: Callable[..., Both],
    rng: np.random.Generator,
) -> None:
    inputs = tf.constant(rng.normal(3.0, 2.0, (9, *shape)).astype(np.float32))
    factors = rng.normal(0.0, 1.0, (9, *shape)).astype(np.float32)
    found = []
    for layer in normalizations(shape):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=training)
            loss = tf.reduce_sum(outputs * factors)
        gradients = tape.gradient(loss, [inputs, *layer.trainable_weights])
        found.append([outputs, *layer.get_weights(), *gradients])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_frozen_batch_normalisation_keeps_its_statistics(
    normalizations: Callable[..., Both], noise: Callable[..., np.ndarray]
) -> None:
    layer, _ = normalizations((40, 40, 3))
    layer.trainable = False
    before, inputs = layer.get_weights(), noise()[None].astype(np.float32)
    assert np.array_equal(layer(inputs, training=True), layer(inputs, training=False))
    for old, new in zip(before, layer.get_weights(), strict=True):
        assert np.array_equal(old, new)


def test_the_optimised_graph_of_inference_has_no_reciprocal_square_root(
    normalizations: Callable[..., Both], rng: np.random.Generator
) -> None:
    """TensorFlow turns x / sqrt(y) into x * rsqrt(y), which the result without a graph has not."""
    layer, _ = normalizations((6, 6, 33))
    inputs = rng.normal(3.0, 2.0, (4, 6, 6, 33)).astype(np.float32)
    graph = tf.function(lambda batch: layer(batch, training=False))
    assert np.array_equal(graph(inputs), layer(inputs, training=False))


def test_a_network_with_replaced_layers_has_the_same_weights_and_outputs(
    rng: np.random.Generator,
) -> None:
    """InceptionV3 normalises without a scale, MobileNet with one; EfficientNet averages inside."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(5, 3, name="first")(inputs)
    x = keras.layers.BatchNormalization(scale=False, name="second")(x)
    x = keras.layers.BatchNormalization(center=False, axis=3, name="third")(x)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="fourth")(x)
    network = keras.Model(inputs, x)
    weights = [rng.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in network.get_weights()]
    network.set_weights(weights)
    copy = layers.replaced(network)
    assert [type(layer) for layer in copy.layers[2:4]] == [layers.BatchNormalization] * 2
    assert type(copy.layers[4]) is layers.GlobalAveragePooling2D
    names = ["first", "second", "third", "fourth"]
    assert [layer.name for layer in copy.layers[1:]] == names
    images = rng.normal(3.0, 2.0, (4, 8, 8, 3)).astype(np.float32)
    for training in (False, True):
        ours, theirs = copy(images, training=training), network(images, training=training)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert layers.replaced(copy) is copy


@pytest.mark.parametrize("keepdims", [False, True])
def test_averages_over_places_are_those_of_keras_with_more_digits(
    keepdims: bool, rng: np.random.Generator
) -> None:
    maps = rng.uniform(0.0, 100.0, (2, 75, 75, 8)).astype(np.float32)
    ours = np.asarray(layers.GlobalAveragePooling2D(keepdims=keepdims)(maps))
    theirs = np.asarray(keras.layers.GlobalAveragePooling2D(keepdims=keepdims)(maps))
    assert ours.shape == theirs.shape
    exact = maps.astype(np.float64).mean(axis=(1, 2), keepdims=keepdims)
    np.testing.assert_allclose(ours, exact, rtol=3e-7)


def test_a_replaced_normalisation_has_its_constants_also_after_loading(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    inputs = keras.Input((8, 8, 3))
    adapted = keras.layers.Normalization()
    x = keras.layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0])(adapted(inputs))
    network = keras.Model(inputs, x)
    adapted.adapt(rng.normal(2.0, 3.0, (4, 8, 8, 3)).astype(np.float32))
    copy = layers.replaced(network)
    assert [type(layer) for layer in copy.layers[1:]] == [layers.Normalization] * 2
    models.save(copy, tmp_path / "model")
    images = rng.normal(3.0, 2.0, (4, 8, 8, 3)).astype(np.float32)
    for ours in (copy, models.load(tmp_path / "model")):
        np.testing.assert_allclose(ours(images), network(images), rtol=1e-6, atol=1e-6)
        assert all(isinstance(layer.mean, np.ndarray) for layer in ours.layers[1:])


def test_batch_normalisation_refuses_a_mask(normalizations: Callable[..., Both]) -> None:
    layer, _ = normalizations((5,))
    with pytest.raises(ValueError, match="expected no mask"):
        layer(tf.ones((2, 5)), mask=tf.constant([True, False]))


def test_a_saved_model_has_the_layers(tmp_path: Path, rng: np.random.Generator) -> None:
    inputs = keras.Input((4, 4, 3))
    x = layers.BatchNormalization(momentum=0.8)(inputs)
    x = layers.Dense(700, activation="relu")(keras.layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(2)(x))
    images = rng.normal(3.0, 2.0, (5, 4, 4, 3)).astype(np.float32)
    model(images, training=True)
    models.save(model, tmp_path / "m")
    loaded = models.load(tmp_path / "m")
    kinds = [type(layer) for layer in loaded.layers[1:]]
    assert kinds == [
        layers.BatchNormalization,
        keras.layers.Flatten,
        layers.Dense,
        layers.Dense,
    ]
    assert loaded.layers[1].momentum == 0.8
    assert np.array_equal(loaded(images, training=False), model(images, training=False))
