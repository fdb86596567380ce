"""The page of a search, as text and in a browser."""

from pathlib import Path

import pytest
from searches import HEAD, RATE, TREE, invented, made, pruned, running

from seedlings.config import params
from seedlings.search import page
from seedlings.search.results import Gain, Result
from seedlings.tasks import TASKS

SPACE = made(HEAD, pruner="median")
GAIN = Gain(TASKS["multiclass"].main_metric, 0.0219, 0.0341)


def metrics(value: float, low: float, high: float) -> dict[str, float]:
    name = "finetuned/accuracy"
    return {name: value, f"{name}_low": low, f"{name}_high": high}


START = metrics(0.8653, 0.8212, 0.9051)
TESTED = metrics(0.8784, 0.8403, 0.9122)


def result() -> Result:
    start = SPACE.active(params.flatten(TREE))
    commands = {"restore the trial": "dvc exp apply head-0002"}
    tried = invented(SPACE, 25)
    return Result("head", SPACE, tried, START, start, GAIN, TESTED, commands=commands)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("page") / "search.html"
    page.write(result(), found)
    return found


@pytest.mark.slow
def test_the_page_has_the_sentences_the_commands_and_all_trials(path: Path) -> None:
    text, found = path.read_text(encoding="utf-8"), result()
    best = found.name(found.ranking[0])
    for part in (
        "<h1>Search head</h1>",
        "accuracy on validation images, maximize",
        f"{best} is better than the start beyond chance: +2.2 points of accuracy, p = 0.034",
        f"Test score of {best}, computed once, for it alone: accuracy 0.8784",
        "<code>dvc exp apply head-0002</code>",
        "0.8653 (0.8212 to 0.9051)",
        "failed: no memory &lt;left&gt; &amp; more",
        "20 of 25 trials finished, 4 pruned, 1 failed.",
    ):
        assert part in text, part
    assert "<left>" not in text
    assert text.index(f"<td>{best}</td>") < text.index("<td>head-0001</td>")
    assert text.index("<td>head-start</td>") < text.index("<td>head-0006</td>")
    assert all(text.count(f"<td>head-{n:04d}</td>") == 1 for n in range(1, 26))
    assert text.count("pruned after 4 epochs, with 0.") == 4
    assert text.count('src="data:image/png;base64,') == 5
    assert "http" not in text.replace("http-equiv", "")


def test_a_search_without_a_finished_trial_has_a_page(tmp_path: Path) -> None:
    space = made({RATE: HEAD[RATE]})
    tried = [running(space, 1, {RATE: 0.1}), pruned(space, 2, {RATE: 0.02}, [0.5])]
    page.write(Result("a<b", space, tried, START, {RATE: 0.01}), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "No trial has finished" in text
    assert "pruned after 1 epoch, with 0.5000<" in text
    assert "Search a&lt;b" in text
    assert "<h2>Restore</h2>" not in text
    assert "<h2>Figures</h2>" not in text
