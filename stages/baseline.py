"""Train the baseline on the pixels: whatever is more elaborate has to beat it."""

from seedlings import batches, charts, layout, models, networks, runtime, splits, store, training
from seedlings.files import write_csv
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage
from seedlings.tasks import TASKS


@stage("baseline")
def main(params: Params, record: Record) -> None:
    runtime.prepare(params.seed, params.threads)
    task, own = TASKS[params.task], params.baseline
    table = splits.read(layout.SPLIT)
    model = networks.baseline(store.shape(layout.IMAGES)[1:], task.units(table["label"]), task)
    with batches.of_training(layout.IMAGES, table, task, size=own.batch_size, seed=params.seed) as (
        train,
        validation,
    ):
        training.train_baseline(model, train, validation, record=record, task=task, params=own)
        record.add_metrics(training.score(model, validation), "validation/")
    models.save(model, layout.BASELINE)

    report = layout.report("baseline")
    write_csv(report / "history.csv", training.history(record, task))
    charts.curves(record.curves, task.metric, record.add_picture(report / "curves.png"))
    record.add_metrics(models.sizes(model))


if __name__ == "__main__":
    main()
