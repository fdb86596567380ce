"""The loop of labels in a real browser: decide, close, merge, run again, compare."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import servers
from browsers import chromium, page_of, requests_of
from project import Project

from seedlings.config import paths
from seedlings.data import corrections
from seedlings.io import split_table
from seedlings.review import queue
from seedlings.review.decisions import DecisionFile
from seedlings.review.queue import Doubt
from seedlings.tasks import TASKS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.nightly

TASK = TASKS["multiclass"]
KEYS = ["1", "2", "x", "Space"]  # two classes, drop and keep, in turn
ROWS = re.compile(r"(segment|extract): \d+ of (\d+) rows are reused from the cache, (\d+) are")


@contextmanager
def reviewing(project: Project, page: "Page") -> Iterator[None]:
    """The page of `seedlings review`, which ends with Ctrl-C."""
    port = servers.free_port()
    command = ("seedlings", "review", "--port", str(port))
    asked = requests_of(page)
    with servers.running(*command, port=port, folder=project.root, env=project.env) as server:
        page.goto(f"http://127.0.0.1:{port}")
        page.get_by_text("Nearest training images").wait_for()
        yield
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0
    own = (f"http://127.0.0.1:{port}/", "data:")
    assert [url for url in asked if not url.startswith(own)] == []


def decide(project: Project, page: "Page", count: int) -> float:
    """Decide about the next images by keyboard; returns the seconds."""
    started = time.perf_counter()
    first = len(decisions(project))
    for number in range(first, first + count):
        page.keyboard.press(KEYS[number % len(KEYS)])
        page.get_by_text(re.compile(rf"^{number + 1} of \d+ images decided")).wait_for()
        page.get_by_text(re.compile(f"^{number + 2} of .*: ")).wait_for()  # the next image
        assert len(decisions(project)) == number + 1
    return time.perf_counter() - started


def decisions(project: Project) -> list[corrections.Decision]:
    return [*corrections.read(project.root / paths.CORRECTIONS, TASK).values()]


def test_labels_are_decided_by_keyboard_merged_and_applied(
    reproduced: Callable[[], Project],
) -> None:
    pytest.importorskip("streamlit", reason="there is no Streamlit here")
    project = reproduced()
    project.run("git", "config", "user.name", "Ann")
    project.run("git", "branch", "bob")
    listed = pd.read_csv(project.root / paths.report("evaluate") / "doubtful_labels.csv")
    table = split_table.read(project.root / paths.SPLIT)
    classes = TASK.outputs(table["label"])
    with chromium() as browser:
        with page_of(browser) as page, reviewing(project, page):
            seconds = decide(project, page, 20)
            made = {one.digest: one for one in decisions(project)}
            assert {one.by for one in made.values()} == {"Ann"}
            for number, image in listed[:20].iterrows():
                key = KEYS[number % len(KEYS)]
                new = {"1": classes[0], "2": classes[1], "x": "drop"}.get(key, image["label"])
                one = made[image["digest"]]
                assert (one.path, one.old, one.new) == (image["path"], image["label"], new)
            page.reload()
            page.get_by_text(f"Last: {one.path}: {one.old} → {one.new}", exact=True).wait_for()
            page.get_by_text(re.compile("^21 of .*: ")).wait_for()  # the first undecided
            page.get_by_role("button", name="Undo").wait_for()  # its code is loaded when needed
            page.keyboard.press("u")
            page.get_by_text(re.compile("^19 of .* decided")).wait_for()
            assert listed["digest"][19] not in {one.digest for one in decisions(project)}
        with page_of(browser) as page, reviewing(project, page):
            page.get_by_text(re.compile("^20 of .*: ")).wait_for()  # the first undecided
            seconds += decide(project, page, 21)
            page.get_by_role("button", name="Drop").click()  # the mouse, and the keyboard at once
            page.get_by_text(re.compile("^42 of .*: ")).wait_for()
            page.keyboard.press("Space")
            page.get_by_text(re.compile("^43 of .*: ")).wait_for()
            print(f"41 decisions by keyboard took {seconds:.1f} s")
            found = {one.path: one for one in decisions(project)}
            assert found[listed["path"][40]].new == "drop"
            assert found[listed["path"][41]].new == listed["label"][41]
            project.commit("Ann's decisions")
            mine = decisions(project)

            project.run("git", "checkout", "--quiet", "bob")
            file = DecisionFile(
                project.root / paths.CORRECTIONS, TASK, by="Bob", lock=project.root / ".dvc/tmp/bob"
            )
            paths_ = listed["path"][50:60].tolist()
            doubts = [(row, Doubt(queue.DOUBTFUL, "")) for row in range(len(table))]
            for item in queue.build(table, TASK, doubts):
                if item.path in paths_:
                    file.decide(item, item.label)
            project.commit("Bob's decisions")
            theirs = decisions(project)
            project.run("git", "checkout", "--quiet", "main")
            author = ("-c", "user.email=t@example.org")
            project.run("git", *author, "merge", "--quiet", "bob", "--message", "Both")
            assert sorted(decisions(project)) == sorted([*mine, *theirs])
            assert len(theirs) == 10

            output = project.repro()
            ran = ["split", "segment", "baseline", "finetune"]
            assert project.ran(output) == [*ran, "package", "evaluate", "explain", "report"]
            assert ROWS.findall(output) == [("segment", str(len(table)), "0")]
            page.reload()  # with the new results
            page.get_by_text(re.compile("^decided before ")).wait_for()
            assert "Traceback" not in page.content()
    told = project.run("seedlings", "compare", "HEAD")
    changed = [one for one in mine if one.new not in (one.old, "drop")]
    dropped = [one for one in mine if one.new == "drop"]
    assert f"{len(changed)} relabelled, {len(dropped)} dropped" in told
    evaluated = table[table["split"] == "test"].set_index("digest")
    relabelled = sum(one.digest in evaluated.index for one in changed)
    left = len(evaluated) - relabelled - sum(one.digest in evaluated.index for one in dropped)
    without = f"  without {relabelled} in both" if relabelled else ""
    assert f"{left + relabelled} in both\n{without}" in told
    assert re.search(r"finetuned accuracy on those in both: 0\.\d+ → 0\.\d+", told)
    assert re.search(rf"Of these {left}.*p = ", told)
