"""Split the images into training, validation and test, and let no duplicate cross."""

import numpy as np

from seedlings import catalog, duplicates, gallery, layout, splits
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage


@stage("split")
def main(params: Params, record: Record) -> None:
    scanned, strays = catalog.scan(layout.RAW, params.split.rule)
    table, bad = duplicates.fingerprint(layout.RAW, scanned)
    bad += catalog.judge(strays, layout.RAW)
    catalog.accept(scanned, table, bad, params.data.on_bad_image)
    table["group"] = duplicates.group(table, params.split.duplicate_distance)
    table["split"] = splits.choose(table, params.split, np.random.default_rng(params.seed))
    splits.write(table, layout.SPLIT)

    report = layout.report("split")
    gallery.examples(layout.RAW, table, record.add_picture(report / "examples.png"))
    gallery.duplicates(layout.RAW, table, record.add_picture(report / "duplicates.png"))
    record.add_metrics(splits.totals(table) | {"set_aside": len(bad), "strays": len(strays)})
    record.details |= {"set_aside": bad, "strays": strays, "counts": splits.counts(table)}


if __name__ == "__main__":
    main()
