"""Training steps of the network of the preset plants_scratch: images/s, part by part.

The bare network trains on one batch in memory. `fit` is the project's training, with its batches
and its augmentation; tf.data has augmentation and batch normalisation by the layers of Keras. All
alternate in one run. Times and ratios are medians over the rounds; a ratio is one of two times of
the same round, because the speed of a shared machine changes from one minute to the next. The first
two steps of each measurement do not count: `fit` starts once for all epochs of a training. Ways
with one and with two replicas are in two processes, as each divides the threads of TensorFlow in
another way.
"""

import gc
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks import networks
from benchmarks.measure import Times, at_least, in_turns, seedlings, self_timed, speedup
from seedlings import params, presets, processor
from seedlings.networks import backbones, layers, runtime
from seedlings.networks.runtime import keras, tf
from seedlings.params import Params
from seedlings.tasks import TASKS
from seedlings.training import fit, precision, replicas, trained_model
from seedlings.training.augmentations import Augmentation
from seedlings.training.batches import Batches

_CLASSES = 12
_FIRST = 2  # steps that are not measured
_MATRIX = 2048  # rows and columns of the matrices whose product is the peak
_SMALL = [
    "segment.pixels=[32,32]",
    "finetune.progressive.sizes=[[24,24]]",
    "finetune.batch_size=16",
    "finetune.convnet.stem_filters=[8]",
    "finetune.convnet.filters=[8,16]",
]
_FLOAT32 = "finetune.precision=float32"
_ONE = "finetune.replicas=1"
_FEWER = ("finetune.convnet.stem_filters=[24,48]", "finetune.convnet.filters=[48,96,96,192,192]")
_SMALL_FEWER = ("finetune.convnet.stem_filters=[4]", "finetune.convnet.filters=[4,16]")
_TF_DATA = "tf.data, layers of Keras, bfloat16"
_BEFORE = "float32, one replica, fewer filters first"
_PRINTED = ("fit", "bare network", "float32", _BEFORE, _TF_DATA)  # those with a goal

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Steps = Callable[[], float]  # trains, and returns the seconds of all steps but the first two


@dataclass(frozen=True, slots=True)
class Way:
    """A way to train: changes of the preset, the kind of loop, and the place of a smaller size."""

    changes: tuple[str, ...] = ()
    kind: str = "fit"
    place: int | None = None

    def settings(self) -> Params:
        """Return the parameters."""
        return params.check(presets.compose(["plants_scratch", *self.changes]))


def main(*, small: bool) -> None:
    ways = _ways((), _FEWER)
    if small:
        ways = _ways(tuple(_SMALL), _SMALL_FEWER)
        ways = {name: way for name, way in ways.items() if name in _PRINTED or way.place == 0}
    settings = ways["fit"].settings()
    count = (2 if small else 8) * settings.finetune.batch_size
    with ExitStack() as stack:
        pools = {
            number: stack.enter_context(
                ProcessPoolExecutor(
                    1, get_context("spawn"), _start, (settings.threads, number, count)
                )
            )
            for number in (1, 2)
        }
        actions = {name: partial(_in_pool, pools, way) for name, way in ways.items()}
        times = self_timed(actions, 1 if small else 5)
        peaks = {
            dtype: pools[1].submit(_matrix_peak, dtype).result()
            for dtype in ("float32", "bfloat16")
        }
        work = {name: pools[1].submit(_operations, way).result() for name, way in ways.items()}
    _print(ways, times, count, peaks, work)


def _in_pool(pools: Mapping[int, ProcessPoolExecutor], way: Way) -> float:
    return pools[way.settings().finetune.replicas].submit(_seconds, way).result()


def _ways(common: tuple[str, ...], fewer: tuple[str, ...]) -> dict[str, Way]:
    """Return the ways by name; `fewer` are changes to fewer filters of the first convolutions."""
    ways = {
        "fit": Way(),
        "bare network": Way(kind="bare"),
        "one replica": Way((_ONE,)),
        "float32": Way((_FLOAT32,)),
        "float32, one replica": Way((_FLOAT32, _ONE)),
        _BEFORE: Way((_FLOAT32, _ONE, *fewer)),
        "fewer filters first": Way(fewer),
        "normalisation of Keras": Way((_FLOAT32, _ONE), "keras"),
        "tf.data, layers of Keras": Way((_FLOAT32, _ONE), "tf.data"),
        _TF_DATA: Way((_ONE,), "tf.data"),
    }
    sizes = Way(common).settings().finetune.progressive.sizes
    for place, (height, width) in enumerate(sizes):
        ways[f"{height} x {width}"] = Way(place=place)
        ways[f"{height} x {width}, float32"] = Way((_FLOAT32,), place=place)
    return {name: replace(way, changes=(*common, *way.changes)) for name, way in ways.items()}


def _print(
    ways: dict[str, Way],
    took: Times,
    count: int,
    peaks: dict[str, float],
    work: dict[str, float],
) -> None:
    given = ", ".join(f"{peak / 1e9:.0f} in {name}" for name, peak in peaks.items())
    print(
        f"{work['fit'] / 1e9:.2f} GFLOP an image in training at the full size; in a product of "
        f"{_MATRIX} x {_MATRIX} matrices, GFLOP/s: {given}"
    )
    print(f"{'':<46} {'images/s':>9} {'of fit':>7} {'of the matrix peak':>19}")
    for name, way in ways.items():
        peak = peaks[precision.choose(way.settings().finetune.precision)]
        rate = count / np.median(took[name])
        share = f"{work[name] * rate / peak:.0%}" if way.place is None else ""
        ratio = speedup(took, name, "fit")
        print(f"{name:<46} {rate:>9.0f} {ratio:>7.2f} {share:>19}")
    for other, goal in (("bare network", 0.95), (_TF_DATA, 1.5), (_BEFORE, 1.5)):
        at_least(f"fit / {other}", speedup(took, "fit", other), goal)
    for ending, all_full in (("", "fit"), (", float32", "float32")):
        own = ways["fit"].settings().finetune.progressive
        small = [took[f"{height} x {width}{ending}"] for height, width in own.sizes]
        mean = sum(small) / len(small) * own.share + took[all_full] * (1 - own.share)
        print(f"{'all epochs, progressive sizes' + ending:<46} {count / np.median(mean):>9.0f}")
        ratio = float(np.median(took[_BEFORE] / mean))
        at_least(f"  / {_BEFORE}, the full size in all epochs", ratio, 1.5)


def _start(threads: int, number: int, count: int) -> None:
    """Prepare a process of the pool; `number` is that of the replicas, `count` that of images."""
    processor.use(portable=False)
    runtime.prepare(1, threads)
    replicas.use_threads(threads, number)
    global _count
    _count = count


_count = 0


@cache
def _images(size: int) -> tuple[Images, Labels]:
    return np.stack(seedlings(_count, size)), np.arange(_count) % _CLASSES


class _Watch(keras.callbacks.Callback):
    """Measures the steps of a training but the first two."""

    def __init__(self) -> None:
        super().__init__()
        self._ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._ends.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        return self._ends[-1] - self._ends[_FIRST - 1]


@cache
def _steps(way: Way) -> Steps:
    """Return the compiled training, which has run once."""
    settings = way.settings()
    images, labels = _images(settings.segment.pixels[0])
    kinds = {"bare": _bare, "tf.data": _tf_data}
    train = kinds.get(way.kind, _fit)(settings, _trained(way), images, labels)
    train()
    return train


def _seconds(way: Way) -> float:
    train = _steps(way)
    gc.collect()
    return train()


def _model(settings: Params, *, of_keras: bool = False) -> "keras.Model":
    backbone = backbones.build(settings.extract, *settings.segment.pixels)
    normalization = keras.layers.BatchNormalization if of_keras else layers.BatchNormalization
    with mock.patch.object(layers, "BatchNormalization", normalization):
        task = TASKS[settings.task]
        return networks.classifier(backbone, _CLASSES, task, settings.finetune)


def _trained(way: Way) -> "keras.Model":
    """Return the compiled model that the stage finetune trains, at one size."""
    settings = way.settings()
    own, task = settings.finetune, TASKS[settings.task]
    model = _model(settings, of_keras=way.kind in ("keras", "tf.data"))
    with trained_model.prepared(model, own) as trained:
        if way.place is not None:
            trained.get_layer("resizing").size.assign(own.progressive.sizes[way.place])
    rate = own.optimizer.learning_rate
    optimizer = fit.make_optimizer(own, rate=rate, epochs=100, steps=100)
    fit.compile_model(trained, task, optimizer)
    return trained


def _bare(settings: Params, model: "keras.Model", images: Images, labels: Labels) -> Steps:
    size = settings.finetune.batch_size

    def train() -> float:
        watch = _Watch()
        for number in range(_FIRST + len(images) // size):
            model.train_on_batch(images[:size], labels[:size])
            watch.on_train_batch_end(number)
        return watch.seconds

    return train


def _fit(settings: Params, model: "keras.Model", images: Images, labels: Labels) -> Steps:
    """Return the project's training."""
    own = settings.finetune
    augmentation = Augmentation(own.augment, None, settings.seed)
    batches = Batches(
        images, labels, size=own.batch_size, seed=settings.seed, augmentation=augmentation
    )
    return _of_data(model, batches.endless_data(1), len(batches))


def _tf_data(settings: Params, model: "keras.Model", images: Images, labels: Labels) -> Steps:
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
    return _of_data(model, data.repeat().prefetch(2), len(images) // own.batch_size)


def _of_data(model: "keras.Model", data: "tf.data.Dataset", steps: int) -> Steps:
    def train() -> float:
        watch, number = _Watch(), _FIRST + steps
        model.fit(data, steps_per_epoch=number, callbacks=[watch], shuffle=False, verbose=0)
        return watch.seconds

    return train


def _matrix_peak(dtype: str) -> float:
    """Return the floating-point operations a second of a product of matrices."""
    factor = tf.cast(tf.random.stateless_normal((_MATRIX, _MATRIX), (1, 2)), dtype)
    product = tf.function(lambda: tf.matmul(factor, factor))
    product()
    times = in_turns({"product": lambda: product().numpy()}, 8)
    return 2 * _MATRIX**3 / times["product"].min()


def _operations(way: Way) -> float:
    """Return the floating-point operations of a training step for one image of the full size.

    A layer costs as much again for the gradient of its weights and of its input, which the first
    layer does not compute.
    """
    own = [_forward(layer) for layer in _model(way.settings()).get_layer("head").layers]
    costs = [cost for cost in own if cost]
    return 3.0 * sum(costs) - costs[0]


def _forward(layer: Any) -> float:
    if isinstance(layer, keras.layers.Conv2D):
        return 2.0 * math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
    if isinstance(layer, keras.layers.Dense):
        return 2.0 * math.prod(layer.kernel.shape)
    return 0.0
