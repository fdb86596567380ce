from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seedlings import images
from seedlings.plots import charts

Drawn = Callable[[], list[Axes]]


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """The axes of the chart that is drawn last, which is not written."""
    figures: list[Figure] = []
    monkeypatch.setattr(charts, "_save", lambda figure, path: figures.append(figure))
    return lambda: figures[-1].axes


def test_charts_are_pictures_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    counts = {"a model": np.array([[9, 1], [0, 10]])}
    values = {name: [1.0, 0.5] for name in ("loss", "val_loss", "accuracy", "val_accuracy")}
    for folder in ("one", "two"):
        path = tmp_path / folder / "c.png"
        charts.confusion_matrices(counts, ["Maize", "Shepherd’s Purse"], path)
        charts.curves(values, "accuracy", tmp_path / folder / "v.png")
    for name in ("c.png", "v.png"):
        data = (tmp_path / "one" / name).read_bytes()
        assert data == (tmp_path / "two" / name).read_bytes()
        assert b"matplotlib" not in data.lower()
        picture = images.decode(data)
        assert picture.shape[1] > 200
        assert picture.std() > 5


def test_a_confusion_matrix_shows_counts_above_zero_in_white_on_dark_cells(axes: Drawn) -> None:
    counts = np.array([[3, 2, 1], [0, 9, 1], [2, 2, 2]])
    charts.confusion_matrices({"m": counts}, list("abc"), Path("c.png"))
    shown = {text.get_position(): text for text in axes()[0].texts}
    assert len(shown) == 9
    for (row, column), count in np.ndenumerate(counts):
        assert shown[column, row].get_text() == (str(count) if count else "")
        is_dark = count > 0.6 * counts[row].sum()
        assert shown[column, row].get_color() == ("white" if is_dark else "black")


def test_the_area_under_the_roc_is_the_share_of_pairs_in_order(
    rng: np.random.Generator, axes: Drawn
) -> None:
    truth, scores = rng.random(120) < 0.3, rng.random(120)
    charts.roc_pr_curves(truth, {"m": scores}, Path("r.png"))
    roc, precision_recall = axes()
    share = (scores[truth][:, None] > scores[~truth][None, :]).mean()
    x, y = roc.lines[0].get_data()
    assert np.trapezoid(y, x) == pytest.approx(share)
    assert roc.get_legend().get_texts()[0].get_text() == f"m (AUC = {share:.2f})"
    ranked = truth[np.argsort(-scores)]
    average = (np.cumsum(ranked) / np.arange(1, ranked.size + 1))[ranked].mean()
    recall, precision = precision_recall.lines[0].get_data()
    assert -(np.diff(recall) * precision[:-1]).sum() == pytest.approx(average)
    assert precision_recall.get_legend().get_texts()[0].get_text() == f"m (AP = {average:.2f})"
