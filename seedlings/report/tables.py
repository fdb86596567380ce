"""Tables of the stage evaluate: the results by label, and the most frequent confusions."""

import pandas as pd

from seedlings.config import paths
from seedlings.tasks import Metric

_PAIRS = 8


def by_label(by: Metric) -> pd.DataFrame:
    """Return the fine-tuned model's metrics by class, tag or range, from worst to best.

    A label without true images has no scores, and is last.
    """
    table = pd.read_csv(
        paths.report("evaluate") / "finetuned_classes.csv",
        converters={"label": str, "range": str},  # also a label such as NA
    )
    return table.sort_values(by.name, ascending=by.is_higher_better, kind="stable")


def confusions() -> list[tuple[str, str, int]]:
    """Return the most frequent confusions of the fine-tuned model as (true, predicted, count)."""
    table = pd.read_csv(
        paths.report("evaluate") / "confusion.csv", dtype=str, keep_default_na=False
    )
    wrong = table[table["label"] != table["finetuned"]]
    counts = (
        wrong.groupby(["label", "finetuned"]).size().sort_values(ascending=False, kind="stable")
    )
    return [(true, given, int(count)) for (true, given), count in counts.head(_PAIRS).items()]
