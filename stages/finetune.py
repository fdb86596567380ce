"""Train a head on the stored features, then, if asked, the layers above the cut with it."""

from seedlings import (
    backbones,
    batches,
    charts,
    layout,
    models,
    networks,
    runtime,
    splits,
    training,
)
from seedlings.files import write_csv
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage


@stage("finetune")
def main(params: Params, record: Record) -> None:
    runtime.prepare(params.seed, params.threads)
    table = splits.read(layout.SPLIT)
    backbone = backbones.load(layout.BACKBONE)
    top = networks.top(backbone, len(splits.classes(table)), params.finetune)
    size = params.finetune.batch_size
    with batches.of_training(layout.FEATURES, table, size, params.seed) as (train, validation):
        training.train_top(top, train, validation, record, params.finetune)
        record.add_metrics(training.score(top, validation), "validation/")
    record.model = networks.assemble(backbone.trunk, top)
    models.save(record.model, layout.FINETUNED)

    report = layout.report("finetune")
    write_csv(report / "history.csv", training.history(record))
    charts.curves(record.curves, record.add_picture(report / "curves.png"))
    record.add_metrics(models.sizes(record.model))


if __name__ == "__main__":
    main()
