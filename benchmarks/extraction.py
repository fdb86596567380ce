"""Images/s of extract, and the time of a head on stored features, beside plain Keras."""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks import arrays, networks
from benchmarks.measure import at_most, compare, in_turns, print_rates, seedlings
from seedlings.config.records import Record
from seedlings.networks import architectures, backbones, models, runtime
from seedlings.networks.runtime import keras
from seedlings.params import Params
from seedlings.segmentation.masks import METHODS
from seedlings.tasks import TASKS
from seedlings.training import fit
from seedlings.training.batches import Batches

_TASK = TASKS["multiclass"]
_CLASSES = 12


def main(*, small: bool) -> None:
    settings = networks.full_vgg16(small=small)
    runtime.prepare(settings.seed, settings.threads)
    compare_extraction(settings, 32 if small else 320, 1 if small else 3)
    compare_heads(settings, 48 if small else 144, 2 if small else 10)


def compare_extraction(settings: Params, count: int, rounds: int) -> None:
    """Compare extract with the network alone on images in memory, and with one image at a time."""
    pictures = np.stack(seedlings(count, settings.segment.pixels[0]))
    extractor = backbones.build(settings.extract, *pictures.shape[1:3]).feature_extractor
    function = models.compiled(extractor)
    size = settings.extract.batch_size
    function(pictures[:size])
    extractor.predict(pictures[:1], verbose=0)

    def one_at_a_time() -> None:
        for picture in pictures:
            extractor.predict(picture[None], verbose=0)

    def network() -> None:
        for start in range(0, count, size):
            function(pictures[start : start + size])

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arrays.write(folder / "images", pictures)
        times = in_turns(
            {
                "one image at a time": one_at_a_time,
                "the network alone": network,
                "extract": lambda: networks.extract(
                    extractor, folder / "images", folder / "features", settings
                ),
            },
            rounds,
        )
    print_rates(times, count)
    compare(times, "extract", "one image at a time", 2.3)
    compare(times, "extract", "the network alone", 0.9)


def compare_heads(settings: Params, count: int, epochs: int) -> None:
    """Compare training of a head on stored features, extraction included, with the whole network.

    A third of the images are for validation.
    """
    cut = METHODS[settings.segment.method].cut_out
    pictures = np.stack([cut(image) for image in seedlings(count, settings.segment.pixels[0])])
    labels = np.arange(count) * _CLASSES // count
    unseen = np.arange(count) % 3 == 0
    size = settings.finetune.batch_size
    accuracy = {}

    def train(name: str, model: "keras.Model", inputs: np.ndarray) -> None:
        seen = Batches(inputs[~unseen], labels[~unseen], size=size, seed=settings.seed)
        validation = Batches(inputs[unseen], labels[unseen], size=size)
        optimizer = keras.optimizers.Adam(settings.finetune.optimizer.learning_rate)
        fit.compile_model(model, _TASK, optimizer)
        record = Record("benchmark")
        fit.fit(model, seen, validation, record=record, epochs=epochs)
        accuracy[name] = record.curves["val_accuracy"][-1]

    def build() -> tuple[backbones.Backbone, "keras.Model"]:
        keras.utils.set_random_seed(settings.seed)
        backbone = backbones.build(settings.extract, *pictures.shape[1:3])
        return backbone, networks.head(backbone, _CLASSES, _TASK, settings.finetune)

    def stored() -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            arrays.write(folder / "images", pictures)
            backbone, head = build()
            extractor = backbone.feature_extractor
            networks.extract(extractor, folder / "images", folder / "features", settings)
            train("stored features", head, arrays.read(folder / "features", 0, count))

    def through() -> None:
        backbone, head = build()
        train(
            "the whole network", architectures.assemble(backbone.feature_extractor, head), pictures
        )

    times = in_turns({"stored features": stored, "the whole network": through}, 1)
    for name, values in times.items():
        print(f"{name:<20} {values[0]:>6.1f} s   {accuracy[name]:.1%} on validation images")
    difference = 100 * abs(accuracy["stored features"] - accuracy["the whole network"])
    at_most("difference of the accuracies", difference, 1, "points")
    compare(times, "stored features", "the whole network", 6)
