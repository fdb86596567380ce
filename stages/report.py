"""Report the results of all stages on one self-contained HTML page."""

from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.report import page
from seedlings.report.params import Report


def main(record: Record, *, report: Report) -> None:
    page.write(paths.PAGE, report)
    record.add_picture(paths.PAGE)
