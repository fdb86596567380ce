"""Ten epochs of the head: on stored features (extraction included), and through the network."""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import compare, seconds, seedlings
from seedlings import params
from seedlings.config.records import Record
from seedlings.io import store
from seedlings.networks import architectures, backbones, features, runtime
from seedlings.networks.runtime import keras
from seedlings.segmentation.masks import METHODS
from seedlings.tasks import TASKS
from seedlings.training import fit
from seedlings.training.batches import Batches

TASK = TASKS["multiclass"]

_IMAGES = 144  # of 12 species
_EPOCHS = 10


def main() -> None:
    settings = params.load()
    cut = METHODS[settings.segment.method].cut_out
    pictures = np.stack([cut(image) for image in seedlings(_IMAGES)])
    labels = np.arange(_IMAGES) // (_IMAGES // 12)
    unseen = np.arange(_IMAGES) % 3 == 0
    size = settings.finetune.batch_size
    accuracy: dict[str, float] = {}

    def batches(inputs: np.ndarray) -> tuple[Batches, Batches]:
        return (
            Batches(inputs[~unseen], labels[~unseen], size=size, seed=settings.seed),
            Batches(inputs[unseen], labels[unseen], size=size),
        )

    def train(name: str, model: "keras.Model", inputs: np.ndarray) -> None:
        seen, held_back = batches(inputs)
        optimizer = keras.optimizers.Adam(settings.finetune.optimizer.learning_rate)
        model.compile(optimizer, TASK.loss, metrics=[TASK.metric])
        record = Record("benchmark")
        fit.fit(model, seen, held_back, record=record, epochs=_EPOCHS)
        accuracy[name] = record.curves["val_accuracy"][-1]

    def build() -> tuple[backbones.Backbone, "keras.Model"]:
        keras.utils.set_random_seed(settings.seed)
        backbone = backbones.build(settings.extract, *pictures.shape[1:3])
        return backbone, architectures.top(backbone, 12, TASK, settings.finetune)

    def stored() -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with store.create(folder / "images", pictures.shape[1:], np.uint8) as writer:
                writer.append(pictures)
            backbone, top = build()
            batch = settings.extract.batch_size
            target = folder / "features"
            features.extract(backbone.trunk, folder / "images", target, batch_size=batch, key="")
            train("stored", top, store.read(folder / "features", 0, _IMAGES))

    def through() -> None:
        backbone, top = build()
        train("through", architectures.assemble(backbone.trunk, top), pictures)

    runtime.prepare(settings.seed, settings.threads)
    took = {"stored features": seconds(stored), "through the network": seconds(through)}
    for (name, time), score in zip(took.items(), accuracy.values(), strict=True):
        print(f"{name:<20} {time:>6.1f} s   {score:.1%} on unseen images")
    difference = 100 * abs(accuracy["stored"] - accuracy["through"])
    print(f"the accuracies differ by {difference:.1f} points (goal: at most 1)")
    compare("on stored features", took["through the network"] / took["stored features"], 6)


if __name__ == "__main__":
    main()
