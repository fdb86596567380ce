"""Optuna's plots: which there are, that they are readable, and that pyplot stays as it was."""

import io
import itertools
import warnings

import pytest
from matplotlib import pyplot
from PIL import Image
from searches import HEAD, OPTIMIZER, RATE, failed, invented, made, running, trial

from seedlings.search import pictures

ALL = {
    *("Optimization history", "Parameter importances", "Slice", "Parallel coordinates"),
    "Values after each epoch",
}
TWO = {OPTIMIZER: HEAD[OPTIMIZER], RATE: HEAD[RATE]}


@pytest.mark.slow
def test_equal_trials_give_equal_pictures_and_no_warning(capfd: pytest.CaptureFixture[str]) -> None:
    space = made(HEAD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pictures.figures(space, invented(space, 25))
    assert found.keys() == ALL
    assert found == pictures.figures(space, invented(space, 25))
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
    unfinished = [running(space, 1, values[0]), failed(space, 2, values[1], "no")]
    assert pictures.figures(space, unfinished) == {}
    equal = [trial(space, n, params, 0.5) for n, params in enumerate(values, 1)]
    assert pictures.figures(space, equal).keys() == {"Optimization history", "Slice"}


@pytest.mark.slow
def test_labels_are_readable_and_do_not_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: dict[str, set[str]] = {}

    def savefig(*arguments: object, **named: object) -> None:
        save(*arguments, **named)
        for part in pyplot.gcf().axes:
            labels = [part.xaxis.label, *part.get_yticklabels()]
            low, high = part.get_xlim()
            ticks = [t for t in part.xaxis.get_major_ticks() if low <= t.get_loc() <= high]
            labels += [tick.label1 for tick in ticks]
            texts.setdefault(title(), set()).update(label.get_text() for label in labels)
            shown = [tick.label1 for tick in ticks]
            if title() == "Slice Plot":
                boxes = [label.get_window_extent() for label in shown if label.get_text()]
                assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))

    def title() -> str:
        return pyplot.gcf().get_suptitle() or pyplot.gcf().axes[0].get_title()

    save = pyplot.savefig
    monkeypatch.setattr(pyplot, "savefig", savefig)
    space = made(HEAD)
    pictures.figures(space, invented(space, 25))
    assert {"'adam'", "'[256]'", "16", "learning_rate", "dense"} <= texts["Slice Plot"]
    assert {"adam", "[64]", "None", "optimizer.name"} <= texts["Parallel Coordinate Plot"]


def test_a_choice_is_no_formula() -> None:
    space = made({OPTIMIZER: {"choices": ["adam", "sgd"]}, RATE: HEAD[RATE]})
    strange = space.parameters[OPTIMIZER].model_copy(update={"choices": ["$a^$", "b"]})
    space = space.model_copy(update={"parameters": {**space.parameters, OPTIMIZER: strange}})
    assert pictures.figures(space, invented(space, 5)).keys() == ALL
