"""Report the results of all stages in a model card and on one self-contained HTML page."""

from seedlings.config import params, paths
from seedlings.config.records import Record
from seedlings.io.files import write_text
from seedlings.report import card, notes, page
from seedlings.report.params import Report


def main(record: Record, *, composed_from: str, report: Report) -> None:
    found = notes.read()
    model_card = card.text(found, report)
    write_text(paths.MODEL_CARD, model_card)
    preset = params.preset({"composed_from": composed_from})
    page.write(paths.PAGE, report, preset=preset, found=found, card=model_card)
    record.add_picture(paths.PAGE)
