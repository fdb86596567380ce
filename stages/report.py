"""Put what all stages found on one page, which opens anywhere and can be mailed."""

from seedlings import layout, reports
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage


@stage("report")
def main(params: Params, record: Record) -> None:
    reports.write(layout.PAGE, params.report)
    record.add_picture(layout.PAGE)


if __name__ == "__main__":
    main()
