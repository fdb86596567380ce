"""Train the layers that are not frozen, on stored features, or on images if they are augmented."""

from seedlings.config import paths, reuse
from seedlings.config.records import Record
from seedlings.io import split_table
from seedlings.io.files import write_csv
from seedlings.io.partial_results import PartialResults
from seedlings.networks import architectures, backbones, features, models, runtime
from seedlings.networks.params import Extract
from seedlings.tasks import TASKS
from seedlings.training import batches, fit, precision, replicas, whitening
from seedlings.training.augmentations import Augmentation
from seedlings.training.params import Finetune


def main(
    record: Record, *, extract: Extract, finetune: Finetune, seed: int, task: str, threads: int
) -> None:
    runtime.prepare(seed, threads)
    replicas.use_threads(threads, finetune.replicas)
    kind = TASKS[task]
    table = split_table.read(paths.SPLIT)
    backbone = backbones.load(paths.BACKBONE)
    head = architectures.head(
        backbone,
        kind.units(table["label"]),
        kind,
        convnet=finetune.convnet,
        params=finetune.head,
        regularization=finetune.regularization,
        unfreeze_epochs=finetune.unfreeze.epochs,
        scaling=batches.feature_scaling(paths.FEATURES, table, backbone.widths),
    )
    augmentation = Augmentation(finetune.augment, backbone.window, seed)
    on_images = bool(augmentation.active) or not features.stored(paths.FEATURES)
    array = paths.IMAGES if on_images else paths.FEATURES
    whole = architectures.assemble(backbone.feature_extractor, head)
    model = whole if on_images else head
    partial = PartialResults(paths.FINETUNED, reuse.key(record))
    with batches.of_training(
        array, table, kind, size=finetune.batch_size, seed=seed, augmentation=augmentation
    ) as (train, validation):
        if finetune.convnet.whitened:
            whitening.whiten(whole, train.inputs, seed)
        fit.train_head(
            model, train, validation, record=record, task=kind, params=finetune, partial=partial
        )
        record.add_metrics(fit.score(model, validation), "validation/")
    if backbone.is_pooled and finetune.unfreeze.epochs:
        with batches.of_training(
            paths.IMAGES,
            table,
            kind,
            size=finetune.batch_size,
            seed=seed,
            augmentation=augmentation,
        ) as (train, validation):
            fit.train_unfrozen(
                whole,
                train,
                validation,
                record=record,
                task=kind,
                params=finetune,
                cut=extract.cut,
            )
            record.add_metrics(fit.score(whole, validation), "validation/")
    models.save(whole, paths.FINETUNED)
    partial.remove()

    write_csv(paths.report("finetune") / "history.csv", fit.history(record, kind))
    record.add_metrics(models.sizes(whole))
    record.details["precision"] = precision.choose(finetune.precision)
