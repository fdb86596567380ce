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
from seedlings.networks import runtime  # noqa: E402
from seedlings.networks.runtime import keras  # noqa: E402

OUTPUT, PARTIAL = Path("output"), Path("partial")
History = list[dict[str, float]]


def main() -> None:
    """Train with params.yaml."""
    train(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")), OUTPUT, PARTIAL)


def train(params: dict[str, Any], output: Path, partial: Path) -> None:
    """Write the weights of the backbone and the losses of each epoch into the folder `output`.

    The state after each epoch is in the folder `partial`, from which a killed run with the same
    parameters and code resumes; the bytes of the result are the same.
    """
    runtime.prepare(params["seed"], params["threads"])
    settings, seed = params["train"], params["seed"]
    world = images.world(**params["world"], seed=seed)
    model = _compiled(world, settings)
    sizes = [phase["pixels"] for phase in settings["phases"] for _ in range(phase["epochs"])]
    key = _key(params)
    history = _restored(model, partial, key)
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
        _save(model, history, partial, key)
    output.mkdir(exist_ok=True)
    backbone = network.folded(model, settings["width"])
    backbone.save_weights(output / "backbone.weights.h5")
    with (output / "history.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, list(history[0]), lineterminator="\n")
        rows.writeheader()
        rows.writerows(history)


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


def _restored(model: "keras.Model", partial: Path, key: str) -> History:
    """Load the state that `_save` wrote last under this key, if any; return the history."""
    path = partial / "state.json"
    state = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if state.get("key") != key:
        return []
    history: History = state["history"]
    model.optimizer.build(model.trainable_variables)
    model.load_weights(partial / f"{len(history)}.weights.h5")
    return history


def _save(model: "keras.Model", history: History, partial: Path, key: str) -> None:
    """Write the weights with the optimizer's state, then the history, which names their file."""
    partial.mkdir(exist_ok=True)
    model.save_weights(partial / f"{len(history)}.weights.h5")
    (partial / "new.json").write_text(
        json.dumps({"key": key, "history": history}), encoding="utf-8"
    )
    (partial / "new.json").replace(partial / "state.json")
    (partial / f"{len(history) - 1}.weights.h5").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
