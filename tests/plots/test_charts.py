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


NAMES = [
    *(
        "$a^$",
        "$5 or $6",
        "_x",
        "a\\n\\frac",
        "%d {} {0}",
        "<b>bold</b>",
        "العربية",
        "小麦",
        "हिन्दी",
    ),
    *(f"a name of more letters than there is place for, with number {n} in it" for n in (1, 2)),
]


@pytest.mark.slow
@pytest.mark.parametrize("count", [11, 41, 101])
def test_any_name_is_drawn_in_a_confusion_matrix(count: int, tmp_path: Path) -> None:
    names = [*NAMES, *map(str, range(count))][:count]
    counts = np.diag(np.arange(count)) + np.tri(count, dtype=np.int64)
    charts.confusion_matrices({"$a^$: 99.9%": counts, "{}": counts}, names, tmp_path / "c.png")
    picture = images.read(tmp_path / "c.png")
    assert max(picture.shape) < 4096  # what a browser shows
    edges = picture[0], picture[-1], picture[:, 0], picture[:, -1]
    assert all((edge == 255).all() for edge in edges)


def test_a_confusion_matrix_names_each_class_as_it_is(axes: Drawn) -> None:
    counts = np.eye(len(NAMES), dtype=np.int64)
    charts.confusion_matrices({"m": counts}, NAMES, Path("c.png"))
    for axis in (axes()[0].xaxis, axes()[0].yaxis):
        shown = [label.get_text() for label in axis.get_ticklabels()]
        assert shown[:7] == NAMES[:7]
        assert shown[7] == ""  # drawn as a picture
        assert shown[8] == "[ha-i-na-virama-da-ii]"
        assert all(name.startswith("a name") and "…" in name for name in shown[9:])
        assert len(set(shown)) == len(NAMES)
        assert not any(label.get_parse_math() for label in axis.get_ticklabels())


def test_a_name_in_letters_of_another_font_keeps_clear_of_the_axis_label(tmp_path: Path) -> None:
    def ink(name: str) -> np.ndarray:
        charts.bars({"m": [0.5]}, [name], "F2", tmp_path / "b.png")
        return (images.read(tmp_path / "b.png") < 128).any(axis=2)

    def left(name: str) -> int:
        return int(np.flatnonzero(ink(name)[:20].any(axis=0))[0])  # above the name: the axes

    assert ink("小麦")[:, : left("小麦")].sum() > 20
    assert left("小麦" * 5) > left("小麦") + 40


def test_most_confusions_of_many_classes_are_bars(axes: Drawn) -> None:
    counts = 9 * np.eye(101, dtype=np.int64)
    counts[3, 5], counts[5, 3], counts[100, 0] = 2, 7, 4
    charts.confusion_matrices({"m": counts}, [f"c{n}" for n in range(101)], Path("c.png"))
    (axis,) = axes()
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["c5 as c3", "c100 as c0", "c3 as c5"]
    assert [bar.get_width() for bar in axis.patches] == [7, 4, 2]
    assert axis.get_xlabel() == "images; the 3 most frequent of 3 confusions"


def test_bars_of_many_names_are_the_lowest_and_keep_their_order(axes: Drawn) -> None:
    values = np.linspace(0.0, 1.0, 1000)[::-1].copy()
    values[999] = np.nan  # without true images
    charts.bars({"_a": values.tolist()}, [f"t{n}" for n in range(1000)], "F2", Path("b.png"))
    (axis,) = axes()
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == [f"t{n}" for n in range(959, 999)]
    assert axis.get_xlabel() == "F2; the 40 lowest of 1000"
    assert axis.get_legend().get_texts()[0].get_text() == "_a"


def test_many_scores_give_the_same_curves_in_half_precision(
    rng: np.random.Generator, axes: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = rng.random(3000) < 0.2
    scores = np.clip(0.3 * truth + rng.random(3000), 0.0, 1.3) / 1.3
    areas = []
    for most in (10_000, 100):
        monkeypatch.setattr(charts, "_MOST_SCORES", most)
        charts.roc_pr_curves(truth, {"m": scores}, Path("r.png"))
        areas.append([np.trapezoid(*axis.lines[0].get_data()[::-1]) for axis in axes()])
    assert areas[0] == pytest.approx(areas[1], abs=2e-3)
    assert areas[0] != areas[1]


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
