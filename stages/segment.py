"""Cut every plant out of its background, into one array."""

from seedlings import cutouts, gallery, layout, splits
from seedlings.files import write_csv
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage
from seedlings.tasks import TASKS


@stage("segment")
def main(params: Params, record: Record) -> None:
    table = splits.read(layout.SPLIT)
    shares = cutouts.make(layout.RAW, table, params.segment, layout.IMAGES)
    empty = cutouts.name_empty(table, shares, params.segment)

    report = layout.report("segment")
    sheet = record.add_picture(report / "before_and_after.png")
    gallery.before_and_after(
        layout.RAW, table, TASKS[params.task], cutouts=layout.IMAGES, shares=shares, path=sheet
    )
    write_csv(report / "foreground.csv", cutouts.shares_table(table, shares))
    record.add_metrics(cutouts.summarize(shares) | {"images": len(table), "empty": len(empty)})
    record.details["empty"] = empty


if __name__ == "__main__":
    main()
