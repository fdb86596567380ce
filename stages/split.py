"""Split the images into training, validation and test, and let no duplicate cross."""

import numpy as np

from seedlings import catalog, duplicates, gallery, layout, splits
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage
from seedlings.tasks import TASKS


@stage("split")
def main(params: Params, record: Record) -> None:
    task = TASKS[params.task]
    scanned, strays, bad = catalog.read(layout.RAW, params.data.index, params.split.rule, task)
    table, damaged = duplicates.fingerprint(layout.RAW, scanned)
    bad += damaged
    catalog.accept(scanned, table, bad, params.data.on_bad_image, has_classes=task.has_classes)
    table["group"] = duplicates.group(table, params.split.duplicate_distance)
    table["split"] = splits.choose(table, task, params.split, np.random.default_rng(params.seed))
    splits.write(table, layout.SPLIT)

    report = layout.report("split")
    gallery.examples(layout.RAW, table, task, record.add_picture(report / "examples.png"))
    gallery.duplicates(layout.RAW, table, record.add_picture(report / "duplicates.png"))
    record.add_metrics(splits.totals(table, task) | {"set_aside": len(bad), "strays": len(strays)})
    record.details |= {"set_aside": bad, "strays": strays, "counts": splits.counts(table, task)}


if __name__ == "__main__":
    main()
