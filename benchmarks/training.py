"""Training steps of the network of the preset plants_scratch: images/s, part by part.

The bare network trains on one batch in memory. `fit` is the project's training, with its batches
and its augmentation; tf.data has augmentation and batch normalisation by the layers of Keras. All
alternate in one run, and the shortest time of each counts.
"""

import argparse
import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import networks
from benchmarks.measure import compare, seconds, seedlings
from seedlings import params, processor
from seedlings.cli import presets
from seedlings.networks import backbones, layers, runtime
from seedlings.networks.runtime import keras, tf
from seedlings.params import Params
from seedlings.tasks import TASKS
from seedlings.training import fit, progressive
from seedlings.training.augmentations import Augmentation
from seedlings.training.batches import Batches

_CLASSES = 12
_MATRIX = 2048  # rows and columns of the matrices whose product is the peak
_SMALL = ["segment.size=[32,32]", "finetune.progressive.sizes=[[16,16],[24,24]]"]

Step = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="small images, few steps")
    small = parser.parse_args().small
    settings = params.check(presets.compose(["plants_scratch", *(_SMALL if small else [])]))
    processor.use(portable=settings.portable)
    runtime.prepare(settings.seed, settings.threads)
    steps, repeats = (2, 1) if small else (10, 5)
    count = steps * settings.finetune.batch_size
    images = np.stack(seedlings(count, settings.segment.size[0]))
    labels = np.arange(count) % _CLASSES

    model = _model(settings)
    ways: dict[str, Step] = {
        "bare network": _bare(model, settings, images, labels),
        "fit": _fit(_model(settings), settings, images, labels),
        "tf.data, layers of Keras": _tf_data(settings, images, labels),
        "fit, normalisation of Keras": _fit(
            _model(settings, of_keras=True), settings, images, labels
        ),
        "fit, bfloat16": _fit(_model(settings, "mixed_bfloat16"), settings, images, labels),
        "fit, stem of 32 and 64 filters": _fit(
            _model(_with(settings, "finetune.convnet.stem_filters=[32,64]")),
            settings,
            images,
            labels,
        ),
    }
    sizes = settings.finetune.progressive.sizes
    resized = {
        f"fit, {height} x {width}": _fit(_model(settings), settings, images, labels, place)
        for place, (height, width) in enumerate(sizes)
    }
    took = _alternate(ways | resized, repeats)
    peak = 2 * _MATRIX**3 / _matrix_product()
    work = _operations(model)
    print(
        f"{work / 1e9:.2f} GFLOP an image in training, {peak / 1e9:.0f} GFLOP/s in a product of "
        f"{_MATRIX} x {_MATRIX} matrices (float32)"
    )
    print(f"{'':<32} {'images/s':>9} {'of fit':>7} {'of the matrix peak':>19}")
    for name, time_ in took.items():
        is_same_work = name in ("bare network", "fit")
        share = f"{work * count / time_ / peak:.0%}" if is_same_work else ""
        print(f"{name:<32} {count / time_:>9.0f} {took['fit'] / time_:>7.2f} {share:>19}")
    compare("fit / bare network", took["bare network"] / took["fit"], 0.95)
    if sizes:
        share = settings.finetune.progressive.share
        mean = sum(took[name] for name in resized) / len(sizes) * share + took["fit"] * (1 - share)
        print(f"{'all epochs, progressive sizes':<32} {count / mean:>9.0f}")
        compare("progressive sizes / the full size in all epochs", took["fit"] / mean, 1.5)


def _with(settings: Params, change: str) -> Params:
    return params.check(presets.compose(["plants_scratch", *_size(settings), change]))


def _size(settings: Params) -> list[str]:
    height, width = settings.segment.size
    return [f"segment.size=[{height},{width}]", "finetune.progressive.sizes=[]"]


@contextmanager
def _normalization_of_keras() -> Iterator[None]:
    own = layers.BatchNormalization
    layers.BatchNormalization = keras.layers.BatchNormalization
    try:
        yield
    finally:
        layers.BatchNormalization = own


def _model(settings: Params, policy: str = "float32", *, of_keras: bool = False) -> "keras.Model":
    task = TASKS[settings.task]
    keras.mixed_precision.set_global_policy(policy)
    backbone = backbones.build(settings.extract, *settings.segment.size)
    if of_keras:
        with _normalization_of_keras():
            model = networks.classifier(backbone, _CLASSES, task, settings.finetune)
    else:
        model = networks.classifier(backbone, _CLASSES, task, settings.finetune)
    keras.mixed_precision.set_global_policy("float32")
    return model


def _compiled(model: "keras.Model", settings: Params) -> "keras.Model":
    own, task = settings.finetune, TASKS[settings.task]
    rate = own.optimizer.learning_rate
    optimizer = fit.make_optimizer(own, rate=rate, epochs=100, steps=100)
    model.compile(optimizer, task.loss, metrics=[task.metric])
    return model


def _bare(
    model: "keras.Model", settings: Params, images: NDArray[np.uint8], labels: NDArray
) -> Step:
    own = _compiled(model, settings)
    size = settings.finetune.batch_size

    def train() -> None:
        for _ in range(len(images) // size):
            own.train_on_batch(images[:size], labels[:size])

    return train


def _fit(
    model: "keras.Model",
    settings: Params,
    images: NDArray[np.uint8],
    labels: NDArray,
    place: int | None = None,
) -> Step:
    """Return an epoch of the project's training, at one of the progressive sizes or the full."""
    own = settings.finetune
    augmentation = Augmentation(own.augment, None, settings.seed)
    batches = Batches(
        images, labels, size=own.batch_size, seed=settings.seed, augmentation=augmentation
    )
    trained = model
    if place is not None:
        with progressive.resizable(model, own.progressive) as trained:
            trained.get_layer("resizing").size.assign(own.progressive.sizes[place])
    _compiled(trained, settings)
    return lambda: trained.fit(batches, shuffle=False, verbose=0)


def _tf_data(settings: Params, images: NDArray[np.uint8], labels: NDArray) -> Step:
    own = settings.finetune
    augment = own.augment
    change = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomRotation(augment.rotation / 360.0, fill_mode=augment.fill),
            keras.layers.RandomTranslation(augment.shift, augment.shift, fill_mode=augment.fill),
            keras.layers.RandomZoom(augment.zoom, augment.zoom, fill_mode=augment.fill),
            keras.layers.RandomBrightness(augment.multiply[1] - 1.0),
        ]
    )
    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images))
    data = data.batch(own.batch_size).map(
        lambda x, y: (tf.cast(change(x, training=True), tf.uint8), y), tf.data.AUTOTUNE
    )
    model = _compiled(_model(settings, of_keras=True), settings)
    batches = data.prefetch(2)
    return lambda: model.fit(batches, verbose=0)


def _alternate(ways: dict[str, Step], repeats: int) -> dict[str, float]:
    """Return the shortest seconds of each way; the first call of each only compiles."""
    took = dict.fromkeys(ways, math.inf)
    for step in ways.values():
        step()
    for _ in range(repeats):
        for name, step in ways.items():
            gc.collect()
            start = time.perf_counter()
            step()
            took[name] = min(took[name], time.perf_counter() - start)
    return took


def _matrix_product() -> float:
    factor = tf.random.stateless_normal((_MATRIX, _MATRIX), (1, 2))
    product = tf.function(lambda: tf.matmul(factor, factor))
    return seconds(lambda: product().numpy(), repeats=8)


def _operations(model: "keras.Model") -> float:
    """Return the floating-point operations of a training step for one image.

    A layer costs as much again for the gradient of its weights and of its input, which the first
    layer does not compute.
    """
    own = [_forward(layer) for layer in model.get_layer("head").layers]
    costs = [cost for cost in own if cost]
    return 3.0 * sum(costs) - costs[0]


def _forward(layer: Any) -> float:
    if isinstance(layer, keras.layers.Conv2D):
        return 2.0 * math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
    if isinstance(layer, keras.layers.Dense):
        return 2.0 * math.prod(layer.kernel.shape)
    return 0.0


if __name__ == "__main__":
    main()
