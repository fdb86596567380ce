"""Ten epochs of the head: on stored features, extraction included, and through the network."""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks import arrays, networks
from benchmarks.measure import compare, limit, seconds, seedlings
from seedlings.config.records import Record
from seedlings.networks import architectures, backbones, runtime
from seedlings.networks.runtime import keras
from seedlings.segmentation.masks import METHODS
from seedlings.tasks import TASKS
from seedlings.training import fit
from seedlings.training.batches import Batches

TASK = TASKS["multiclass"]

_IMAGES = 144  # of 12 species
_EPOCHS = 10


def main() -> None:
    settings = networks.full_vgg16()
    cut = METHODS[settings.segment.method].cut_out
    pictures = np.stack([cut(image) for image in seedlings(_IMAGES)])
    labels = np.arange(_IMAGES) // (_IMAGES // 12)
    unseen = np.arange(_IMAGES) % 3 == 0
    size = settings.finetune.batch_size
    accuracy: dict[str, float] = {}

    def train(name: str, model: "keras.Model", inputs: np.ndarray) -> None:
        seen = Batches(inputs[~unseen], labels[~unseen], size=size, seed=settings.seed)
        validation = Batches(inputs[unseen], labels[unseen], size=size)
        optimizer = keras.optimizers.Adam(settings.finetune.optimizer.learning_rate)
        model.compile(optimizer, TASK.loss, metrics=[TASK.epoch_metric])
        record = Record("benchmark")
        fit.fit(model, seen, validation, record=record, epochs=_EPOCHS)
        accuracy[name] = record.curves["val_accuracy"][-1]

    def build() -> tuple[backbones.Backbone, "keras.Model"]:
        keras.utils.set_random_seed(settings.seed)
        backbone = backbones.build(settings.extract, *pictures.shape[1:3])
        return backbone, networks.head(backbone, 12, TASK, settings.finetune)

    def stored() -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            arrays.write(folder / "images", pictures)
            backbone, head = build()
            extractor = backbone.feature_extractor
            networks.extract(extractor, folder / "images", folder / "features", settings)
            train("stored", head, arrays.read(folder / "features", 0, _IMAGES))

    def through() -> None:
        backbone, head = build()
        train("through", architectures.assemble(backbone.feature_extractor, head), pictures)

    runtime.prepare(settings.seed, settings.threads)
    took = {"stored features": seconds(stored), "the whole network": seconds(through)}
    for (name, time), score in zip(took.items(), accuracy.values(), strict=True):
        print(f"{name:<20} {time:>6.1f} s   {score:.1%} on validation images")
    difference = 100 * abs(accuracy["stored"] - accuracy["through"])
    limit("difference of the accuracies", difference, 1, "points")
    ratio = took["the whole network"] / took["stored features"]
    compare("stored features / the whole network", ratio, 6)


if __name__ == "__main__":
    main()
