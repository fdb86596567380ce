"""Segment every image: decode, resize and remove the background, into one array."""

from seedlings.config import paths, reuse
from seedlings.config.records import Record
from seedlings.io import split_table
from seedlings.io.files import write_csv
from seedlings.io.shards import Engine
from seedlings.segmentation import cutouts, figures
from seedlings.segmentation.params import Segment
from seedlings.tasks import TASKS


def main(record: Record, *, segment: Segment, task: str, engine: Engine) -> None:
    table = split_table.read(paths.SPLIT)
    report = paths.report("segment")
    with reuse.of_last_run(record, [paths.IMAGES, report]) as last:
        shares = cutouts.make(paths.RAW, table, segment, paths.IMAGES, engine=engine, last=last)
    empty = cutouts.name_empty(table, shares, segment)

    picture = record.add_picture(report / "before_and_after.png")
    figures.before_and_after(
        paths.RAW, table, TASKS[task], cutouts=paths.IMAGES, shares=shares, path=picture
    )
    picture = report / "fits.png"
    if figures.fits(paths.RAW, table, segment, picture):
        record.add_picture(picture)
    write_csv(report / cutouts.SHARES, cutouts.shares_table(table, shares))
    record.add_metrics(cutouts.summarize(shares) | {"images": len(table), "empty": len(empty)})
    record.details["empty"] = empty
