"""Train the baseline on the pixels, with which the fine-tuned model is compared."""

from functools import partial

from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.io import split_table, store
from seedlings.networks import architectures, models, runtime
from seedlings.tasks import TASKS
from seedlings.training import batches, fit
from seedlings.training.params import Baseline


def main(record: Record, *, baseline: Baseline, seed: int, task: str, threads: int) -> None:
    runtime.prepare(seed, threads)
    kind = TASKS[task]
    record.after_epoch = partial(fit.write_history, task=kind, flushed=False)
    table = split_table.read(paths.SPLIT)
    shape, units = store.shape(paths.IMAGES)[1:], kind.units(table["label"])
    with batches.of_training(paths.IMAGES, table, kind, size=baseline.batch_size, seed=seed) as (
        train,
        validation,
    ):
        mean, scale = batches.pixel_scaling(train.inputs)
        model = architectures.baseline(shape, units, kind, mean=mean, scale=scale)
        fit.train_baseline(model, train, validation, record=record, task=kind, params=baseline)
        record.add_metrics(fit.score(model, validation), "validation/")
    models.save(model, paths.BASELINE)

    fit.write_history(record, kind)
    record.add_metrics(models.sizes(model))
