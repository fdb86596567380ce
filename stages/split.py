"""Split the images into training, validation and test, and group duplicates."""

from seedlings.config import params, paths, reuse
from seedlings.config.records import Record
from seedlings.data import (
    annotations,
    corrections,
    duplicates,
    figures,
    groups,
    image_folder,
    splits,
)
from seedlings.data.params import Data, Split
from seedlings.io import split_table
from seedlings.io.files import write_csv
from seedlings.tasks import TASKS


def main(record: Record, *, data: Data, split: Split, seed: int, task: str) -> None:
    kind, report = TASKS[task], paths.report("split")
    decisions = corrections.read(paths.CORRECTIONS, kind)
    found, unlabelled, bad = image_folder.read(paths.RAW, data.annotations, split.rule, kind)
    with reuse.of_last_run(record, [report], with_params=False) as last:
        known = duplicates.read_hashes(last.outputs / report) if last.outputs else None
    table, damaged = duplicates.fingerprint(paths.RAW, found, known)
    bad += damaged
    image_folder.accept(found, table, bad, data.on_bad_image, has_classes=kind.has_classes)
    table["unit"] = annotations.units(table, data.annotations.block)
    table["known_group"] = groups.find(table, data, split.rule)
    table["group"] = duplicates.group(table, split.duplicate_distance)
    table["unit"] = groups.units(table)
    table["split"] = splits.choose(table, kind, split, params.chosen_seed(split.seed, seed))
    applied = corrections.apply(table, decisions, kind, paths.CORRECTIONS)
    table = applied.table
    split_table.write(table, paths.SPLIT)
    write_csv(paths.DECIDED, applied.decided)

    duplicates.write_hashes(table, report)
    figures.examples(paths.RAW, table, kind, record.add_picture(report / "examples.png"))
    figures.duplicates(paths.RAW, table, record.add_picture(report / "duplicates.png"))
    record.add_metrics(splits.totals(table, kind))
    record.add_metrics({"skipped": len(bad), "unlabelled": len(unlabelled)} | applied.counts)
    record.details |= {"skipped": bad, "unlabelled": unlabelled}
    record.details["ungrouped"] = groups.alone(table)
    record.details |= {"dropped": applied.dropped, "corrections_not_applied": applied.refused}
    corrections.warn(applied)
    crossing = splits.crossing_groups(table)
    record.add_metrics({"crossing_groups": len(crossing)})
    record.details["crossing_groups"] = crossing
    record.details["counts"] = splits.counts(table, kind)
    record.details["absent"] = splits.absent(table, kind)
    splits.warn(record.details["absent"])
