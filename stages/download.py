"""Get the images: download and unpack an archive, copy a folder, or draw the sample."""

from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.data import sources
from seedlings.data.params import Data
from seedlings.io.files import replacing


def main(record: Record, *, data: Data, seed: int) -> None:
    with replacing(paths.RAW) as target:
        found = sources.collect(data, target, seed)
    record.add_metrics(
        {
            "files": sum(found.files.values()),
            "folders": len(found.files),
            "skipped": len(found.skipped),
        }
    )
    record.details |= {"files": found.files, "skipped": found.skipped}
    if found.checksum:
        record.details["checksum"] = found.checksum
