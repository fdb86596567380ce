"""Optuna's plots: which there are, that they are readable, and that pyplot stays as it was."""

import io
import itertools
import warnings
from typing import Any

import pytest
from matplotlib import pyplot
from PIL import Image
from searches import HEAD, OPTIMIZER, RATE, failed, invented, made

from seedlings.search import pictures
from seedlings.search.trials import Trial

ALL = {
    *("Optimization history", "Parameter importances", "Slice", "Parallel coordinates"),
    "Values after each epoch",
}
TWO = {OPTIMIZER: HEAD[OPTIMIZER], RATE: HEAD[RATE]}


@pytest.mark.slow
def test_equal_trials_give_equal_pictures_and_no_warning(capfd: pytest.CaptureFixture[str]) -> None:
    space = made(HEAD)
    trials = invented(space, 25)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pictures.figures(space, trials)
    assert found.keys() == ALL
    assert found == pictures.figures(space, trials[::-1])
    assert all(Image.open(io.BytesIO(png)).size[0] >= 700 for png in found.values())
    assert capfd.readouterr().err == ""


def test_pyplot_stays_as_it_was() -> None:
    space, own = made(TWO), pyplot.figure()
    before = dict(pyplot.rcParams)
    pictures.figures(space, invented(space, 5))
    assert pyplot.get_fignums() == [own.number]
    assert pyplot.gcf() is own
    assert dict(pyplot.rcParams) == before
    pyplot.close(own)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "count", "absent"),
    [
        (TWO, 0, ALL),
        (TWO, 1, {"Parameter importances", "Slice", "Parallel coordinates"}),
        (TWO, 5, set()),
        ({RATE: HEAD[RATE]}, 5, {"Parameter importances", "Parallel coordinates"}),
        (HEAD, 4, set()),
    ],
)
def test_an_impossible_plot_is_absent(
    parameters: dict[str, dict], count: int, absent: set[str]
) -> None:
    space = made(parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ALL - pictures.figures(space, invented(space, count)).keys() == absent


def test_trials_that_did_not_finish_and_equal_values_have_no_plots() -> None:
    space = made(TWO)
    values = [{OPTIMIZER: "adam", RATE: rate} for rate in (0.1, 0.01, 0.001)]
    unfinished = [Trial(1, values[0]), failed(Trial(2, values[1]), "no"), Trial(3, values[2])]
    assert pictures.figures(space, unfinished) == {}
    equal = [Trial(n, v, "finished", 0.5) for n, v in enumerate(values, 1)]
    assert pictures.figures(space, equal).keys() == {"Optimization history", "Slice"}


@pytest.mark.slow
def test_labels_of_eight_parameters_do_not_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: dict[str, set[str]] = {}

    def slices(axes: Any) -> None:
        finish(axes)
        pyplot.gcf().canvas.draw()
        parts = [*axes]
        ticks = [
            tick.label1
            for part in parts
            for tick in part.xaxis.get_major_ticks()
            if part.get_xlim()[0] <= tick.get_loc() <= part.get_xlim()[1]
        ]
        labels = {"values": ticks}
        labels["names"] = [part.xaxis.label for part in parts]
        for kind, found in labels.items():
            boxes = [label.get_window_extent() for label in found]
            assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
            texts[kind] = {label.get_text() for label in found}

    finish = pictures.slices
    monkeypatch.setattr(pictures, "slices", slices)
    space = made(HEAD)
    pictures.figures(space, invented(space, 25))
    assert {"adam", "sgd", "[]", "[256]", "16"} <= texts["values"]
    assert {"learning_rate", "optimizer.name", "dense"} <= texts["names"]


@pytest.mark.slow
def test_choices_and_inactive_parameters_are_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: set[str] = set()

    def parallel(axes: Any) -> None:
        finish(axes)
        labels = [label for part in pyplot.gcf().axes[2:] for label in part.get_yticklabels()]
        texts.update(label.get_text() for label in labels)

    finish = pictures.parallel
    monkeypatch.setattr(pictures, "parallel", parallel)
    space = made(HEAD)
    pictures.figures(space, invented(space, 25))
    assert {"adam", "adamw", "[64]", "inactive"} <= texts
    assert not any('"' in text for text in texts)


def test_choices_that_look_like_formulas_are_drawn_as_they_are() -> None:
    names = ["$a^$", "$5 or $6", "_x"]
    with pictures.drawing():
        axes = pyplot.figure().add_subplot()
        axes.barh(names, [1.0, 2.0, 3.0])
        assert pictures.png(axes)
        assert [label.get_text() for label in axes.get_yticklabels()] == names
        assert not any(label.get_parse_math() for label in axes.get_yticklabels())
