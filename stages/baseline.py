"""Train the baseline: a logistic regression on the pixels, and the majority class beside it."""

from seedlings import (
    batches,
    charts,
    layout,
    metrics,
    models,
    networks,
    runtime,
    splits,
    store,
    training,
)
from seedlings.files import write_csv
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage


@stage("baseline")
def main(params: Params, record: Record) -> None:
    runtime.prepare(params.seed, params.threads)
    table = splits.read(layout.SPLIT)
    image_shape = store.shape(layout.IMAGES)[1:]
    model = networks.logistic_regression(image_shape, len(splits.classes(table)))
    size = params.baseline.batch_size
    with batches.of_training(layout.IMAGES, table, size, params.seed) as (train, validation):
        training.train_baseline(model, train, validation, record, params.baseline)
        record.add_metrics(training.score(model, validation), "validation/")
        majority = metrics.majority_accuracy(train.labels, validation.labels)
    models.save(model, layout.BASELINE)

    report = layout.report("baseline")
    write_csv(report / "history.csv", training.history(record))
    charts.curves(record.curves, record.add_picture(report / "curves.png"))
    record.add_metrics(models.sizes(model) | {"validation/majority_accuracy": majority})


if __name__ == "__main__":
    main()
