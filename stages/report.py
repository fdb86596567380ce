"""Report the results of all stages on one self-contained HTML page."""

from seedlings.config import params, paths
from seedlings.config.records import Record
from seedlings.report import page
from seedlings.report.params import Report


def main(record: Record, *, composed_from: str, report: Report) -> None:
    page.write(paths.PAGE, report, params.preset({"composed_from": composed_from}))
    record.add_picture(paths.PAGE)
