"""Train a narrow VGG16 on images by formula, and write its convolutions: the stage `train`."""

import csv
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from seedlings import processor

processor.pin()  # before TensorFlow is imported

import images  # noqa: E402
import network  # noqa: E402
from seedlings.io.files import replacing  # noqa: E402
from seedlings.io.partial_results import PartialResults  # noqa: E402
from seedlings.networks import runtime  # noqa: E402
from seedlings.networks.runtime import keras  # noqa: E402

OUTPUT = Path("output")
_STATE = "epoch"  # its name among the partial results
History = list[dict[str, float]]


def main() -> None:
    """Train with params.yaml."""
    train(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")), OUTPUT)


def train(params: dict[str, Any], output: Path) -> None:
    """Write the weights of the backbone and the losses of each epoch into the folder `output`.

    The state after each epoch is among the partial results beside it, from which a killed run with
    the same parameters and code resumes; the bytes of the result are the same.
    """
    runtime.prepare(params["seed"], params["threads"])
    settings, seed = params["train"], params["seed"]
    world = images.world(**params["world"], seed=seed)
    model = _compiled(world, settings)
    sizes = [phase["pixels"] for phase in settings["phases"] for _ in range(phase["epochs"])]
    partial = PartialResults(output, _key(params))
    history = _restored(model, partial)
    for epoch in range(len(history), len(sizes)):
        share = _share(epoch, len(sizes), decay=settings["decay_epochs"])
        model.optimizer.learning_rate = settings["learning_rate"] * share
        batches = images.Images(
            world,
            batches=settings["batches"],
            batch_size=settings["batch_size"],
            size=sizes[epoch],
            seed=seed,
            epoch=epoch,
        )
        values = model.fit(batches, epochs=1, shuffle=False, verbose=0).history
        history.append({"epoch": epoch, "size": sizes[epoch]})
        history[-1] |= {name: round(value[-1], 6) for name, value in values.items()}
        print(history[-1], file=sys.stderr, flush=True)
        _save(model, history, partial)
    backbone = network.folded(model, settings["width"])
    with replacing(output) as scratch:
        scratch.mkdir()
        backbone.save_weights(scratch / "backbone.weights.h5")
        with (scratch / "history.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.DictWriter(file, list(history[0]), lineterminator="\n")
            rows.writeheader()
            rows.writerows(history)
    partial.remove()


def _compiled(world: images.World, settings: dict[str, Any]) -> "keras.Model":
    """Return the network with its losses: cross-entropy, and squared error of the description."""
    model = network.build(len(world.forms), world.numbers, settings["width"])
    model.compile(
        keras.optimizers.AdamW(settings["learning_rate"], weight_decay=settings["weight_decay"]),
        loss=[keras.losses.SparseCategoricalCrossentropy(from_logits=True), "mse"],
        loss_weights=[1.0, settings["description_weight"]],
        metrics=[["accuracy"], []],
    )
    return model


def _share(epoch: int, epochs: int, *, decay: int) -> float:
    """Return the learning rate of an epoch as a share of the highest.

    It is 0.1 in the first epoch, then 1, and falls linearly towards 0 in the last `decay` epochs.
    """
    return 0.1 if epoch == 0 else min(1.0, (epochs - epoch) / (decay + 1))


def _key(params: dict[str, Any]) -> str:
    """Return a digest of what the result depends on: the parameters, and the deps of the stage."""
    here = Path(__file__).parent
    deps = yaml.safe_load((here / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["train"][
        "deps"
    ]
    files = {dep: hashlib.sha256((here / dep).read_bytes()).hexdigest() for dep in deps}
    return hashlib.sha256(json.dumps([params, files], sort_keys=True).encode()).hexdigest()


def _restored(model: "keras.Model", partial: PartialResults) -> History:
    """Load the state that `_save` wrote last, if any; return the history."""
    if _STATE not in partial:
        return []
    model.optimizer.build(model.trainable_variables)
    arrays, history = partial.load(_STATE)
    for variable, value in zip(_variables(model), arrays, strict=True):
        variable.assign(value)
    return list(history)


def _save(model: "keras.Model", history: History, partial: PartialResults) -> None:
    """Save the weights with the optimizer's state, and the history."""
    arrays = [keras.ops.convert_to_numpy(variable) for variable in _variables(model)]
    partial.save(_STATE, arrays, history)


def _variables(model: "keras.Model") -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


if __name__ == "__main__":
    main()
