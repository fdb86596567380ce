"""Train the layers that are not frozen, on stored features, or on images if they are augmented."""

from functools import partial
from typing import Any

from seedlings.config import params, paths, reuse
from seedlings.config.records import Record
from seedlings.io import split_table
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
    seed = params.chosen_seed(finetune.seed, seed)
    runtime.prepare(seed, threads)
    replicas.use_threads(threads, finetune.replicas)
    kind = TASKS[task]
    record.after_epoch = partial(fit.write_history, task=kind, flushed=False)
    table = split_table.read(paths.SPLIT)
    backbone = backbones.load(paths.BACKBONE)
    trains_backbone = backbone.is_pooled and finetune.unfreeze.active  # after the head, from images
    head = architectures.head(
        backbone,
        kind.units(table["label"]),
        kind,
        convnet=finetune.convnet,
        params=finetune.head,
        regularization=finetune.regularization,
        unfreezes=finetune.unfreeze.active,
        scaling=batches.feature_scaling(
            paths.FEATURES, table, backbone.widths, trained=trains_backbone
        ),
    )
    whole = architectures.assemble(backbone.feature_extractor, head)
    augmentation = Augmentation(finetune.augment, backbone.window, seed)
    augments_head = bool(augmentation.active) and not trains_backbone
    on_images = augments_head or not features.stored(paths.FEATURES)
    of_training = partial(
        batches.of_training, table=table, task=kind, size=finetune.batch_size, seed=seed
    )
    done = PartialResults(paths.FINETUNED, reuse.key(record))
    options: dict[str, Any] = {"record": record, "task": kind, "params": finetune, "partial": done}
    with of_training(
        paths.IMAGES if on_images else paths.FEATURES,
        augmentation=augmentation if on_images else None,
    ) as (train, validation):
        model = whole if on_images else head
        if finetune.convnet.whitened:
            whitening.whiten(whole, train.inputs, seed)
        fit.train_head(model, train, validation, **options)
        record.add_metrics(fit.score(model, validation), "validation/")
    if trains_backbone:
        with of_training(paths.IMAGES, augmentation=augmentation) as (train, validation):
            fit.train_unfrozen(whole, train, validation, cut=extract.cut, **options)
            record.add_metrics(fit.score(whole, validation), "validation/")
    models.save(whole, paths.FINETUNED)
    done.remove()

    fit.write_history(record, kind)
    record.add_metrics(models.sizes(whole))
    record.details["precision"] = precision.choose(finetune.precision)
