"""Train what is not frozen: on the stored features, or on images where those are augmented."""

from seedlings import (
    backbones,
    batches,
    charts,
    features,
    gallery,
    layout,
    models,
    networks,
    pipeline,
    runtime,
    splits,
    training,
)
from seedlings.augmentations import Augmentation
from seedlings.files import write_csv
from seedlings.params import Params
from seedlings.records import Record
from seedlings.snapshots import Snapshot
from seedlings.stage import stage
from seedlings.tasks import TASKS


@stage("finetune")
def main(params: Params, record: Record) -> None:
    runtime.prepare(params.seed, params.threads)
    task, own = TASKS[params.task], params.finetune
    table = splits.read(layout.SPLIT)
    backbone = backbones.load(layout.BACKBONE)
    top = networks.top(backbone, task.units(table["label"]), task, own)
    augmentation = Augmentation(own.augment, backbone.window, params.seed)
    on_images = bool(augmentation.active) or not features.stored(layout.FEATURES)
    array = layout.IMAGES if on_images else layout.FEATURES
    with batches.of_training(
        array, table, task, size=own.batch_size, seed=params.seed, augmentation=augmentation
    ) as (train, validation):
        model = networks.assemble(backbone.trunk, top) if on_images else top
        snapshot = Snapshot(layout.FINETUNED, pipeline.fingerprint("finetune", record.params))
        training.train_top(
            model, train, validation, record=record, task=task, params=own, snapshot=snapshot
        )
        record.add_metrics(training.score(model, validation), "validation/")
    whole = networks.assemble(backbone.trunk, top)
    models.save(whole, layout.FINETUNED)
    snapshot.remove()

    report = layout.report("finetune")
    write_csv(report / "history.csv", training.history(record, task))
    charts.curves(record.curves, task.metric, record.add_picture(report / "curves.png"))
    if augmentation.active:
        sheet = record.add_picture(report / "augmentations.png")
        gallery.augmented(layout.IMAGES, augmentation, sheet)
    record.add_metrics(models.sizes(whole))


if __name__ == "__main__":
    main()
