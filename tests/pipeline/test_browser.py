"""What a person sees in MLflow: its pages, opened in a real browser on three experiments."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mlflow
import pytest
import servers
from browsers import chromium, page_of, requests_of
from PIL import Image
from project import Project

from seedlings.config import paths, records
from seedlings.tracking import client

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.nightly

NAMES = ["short", "longer", "sparser"]
CHANGED = {
    "finetune.convnet.dropout": ["0.0", "0.0", "0.2"],
    "finetune.epochs": ["1", "2", "2"],
}
QUICK = ["explain.steps=3", "explain.images=2", "explain.smoothgrad_samples=2"]
HEADLINE = ["finetuned/accuracy", "finetuned/log_loss"]
CONFUSION = "pictures/evaluate/confusion.png"

# How many lines cross the parallel plot just before its last axis; they are drawn on a canvas.
LINES = """() => {
  const plot = document.querySelector(".js-plotly-plot");
  const canvas = plot.querySelector("canvas.gl-canvas-focus");
  const {l, w} = plot._fullLayout._size;
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
  copy.drawImage(canvas, 0, 0);
  const x = (l + 0.99 * w) * canvas.width / canvas.clientWidth;
  const painted = copy.getImageData(x, 0, 1, canvas.height).data.filter((_, i) => i % 4 == 3);
  return painted.filter((alpha, y) => alpha && !painted[y - 1]).length;
}"""


@dataclass
class Shown:
    """MLflow at an address, and the parents of the experiments that it has to show, by name."""

    address: str
    runs: dict[str, Any]
    project: Project

    @property
    def experiment(self) -> str:
        return self.runs["short"].info.experiment_id

    def values(self, metric: str) -> list[float]:
        return [run.data.metrics[metric] for run in self.runs.values()]


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shown(browser: "Browser", new_project: Callable[[], Project]) -> Iterator[Shown]:
    """Three experiments that differ in two parameters, and MLflow on them."""
    project = new_project()
    project.tracking = True
    project.run("seedlings", "preset", "digits", *QUICK)
    for place, name in enumerate(NAMES):
        changes = [f"{key}={values[place]}" for key, values in CHANGED.items()]
        arguments = [part for option in changes for part in ("-S", option)]
        project.run("dvc", "exp", "run", "--quiet", "--name", name, *arguments)
    project.run("seedlings", "sync", "--all")
    project.run("seedlings", "sync")  # the last experiment is the workspace, and keeps its name
    database = f"sqlite:///{project.root / 'mlflow.db'}"
    client = mlflow.MlflowClient(database)
    found = client.get_experiment_by_name("seedlings")
    named = {run.info.run_name: run for run in client.search_runs([found.experiment_id])}
    port = servers.free_port()
    command = ("mlflow", "ui", "--backend-store-uri", database, "--port", str(port))
    env = {**project.env, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # processes for nothing
    with servers.running(*command, "--workers", "1", port=port, folder=project.root, env=env):
        parents = {name: named[name] for name in NAMES}
        yield Shown(f"http://127.0.0.1:{port}/#", parents, project)


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """A page over which MLflow does not open its assistant."""
    opened = {"mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true"}
    with page_of(browser, **opened) as page:
        yield page


def compare(page: "Page", shown: Shown) -> None:
    ids = json.dumps([run.info.run_id for run in shown.runs.values()])
    page.goto(f'{shown.address}/compare-runs?runs={ids}&experiments=["{shown.experiment}"]')


def test_the_list_shows_every_experiment_with_its_metrics(page: "Page", shown: Shown) -> None:
    page.goto(f"{shown.address}/experiments/{shown.experiment}/runs")
    page.get_by_role("link", name=NAMES[0], exact=True).wait_for()
    page.get_by_role("button", name="Columns", exact=True).click()
    for metric in HEADLINE:
        page.get_by_test_id("column-selector-tree").get_by_text(metric, exact=True).click()
    page.keyboard.press("Escape")
    for run in shown.runs.values():
        for metric in HEADLINE:
            cell = f"[row-id='{run.info.run_id}'] [col-id='metrics.`{metric}`']"
            assert float(page.locator(cell).inner_text()) == run.data.metrics[metric]
    names = page.locator("[role=gridcell][col-id='attributes.`Run Name`']").get_by_role("link")
    assert names.all_inner_texts() == NAMES[::-1]


def test_the_view_that_the_command_links_to_has_the_metrics_and_the_states_alone(
    page: "Page", shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shown.project.root)
    page.goto(f"{shown.address.removesuffix('#')}{client.Tracker().page}")
    for run in shown.runs.values():
        for metric in HEADLINE:
            cell = f"[row-id='{run.info.run_id}'] [col-id='metrics.`{metric}`']"
            assert float(page.locator(cell).inner_text()) == run.data.metrics[metric]
    assert page.locator("[role=row][row-id]").get_by_role("link").count() == len(NAMES)


def test_the_charts_draw_a_bar_for_every_experiment(page: "Page", shown: Shown) -> None:
    page.goto(f"{shown.address}/experiments/{shown.experiment}/runs?compareRunsMode=CHART")
    page.get_by_placeholder("Search metric charts").fill(f"{HEADLINE[0]}$")
    title = page.get_by_role("heading", name=HEADLINE[0], exact=True)
    card = page.get_by_test_id("experiment-view-compare-runs-card").filter(has=title)
    bars = card.locator(".bars .point")
    bars.nth(2).wait_for()
    expected = [f"{value:.2f}" for value in shown.values(HEADLINE[0])]
    assert sorted(bars.all_text_contents()) == sorted(expected)
    assert all(bar.bounding_box()["width"] > 100 for bar in bars.all())


def test_the_comparison_draws_a_line_for_every_experiment(page: "Page", shown: Shown) -> None:
    compare(page, shown)
    page.locator(".axis-title").get_by_text(HEADLINE[0]).wait_for()  # without being asked
    metric = HEADLINE[1]
    page.get_by_role("combobox").nth(1).click()  # Metrics
    page.keyboard.type(metric)
    page.keyboard.press("Enter")
    page.locator(".axis-title").get_by_text(metric).wait_for()
    axes = page.locator(".js-plotly-plot").evaluate("plot => plot.data[0].dimensions")
    drawn = {axis["label"]: axis["values"] for axis in axes}
    assert {name: drawn[name] for name in CHANGED} == {
        name: [float(value) for value in values] for name, values in CHANGED.items()
    }
    assert drawn[metric] == shown.values(metric)
    assert page.wait_for_function(LINES).json_value() == 3


def test_the_comparison_lists_what_differs(page: "Page", shown: Shown) -> None:
    compare(page, shown)
    for table in ("Parameters", "Metrics"):
        page.get_by_role("switch", name=f"{table} - Show diff only").click()
    page.get_by_text("baseline/accuracy", exact=True).wait_for(state="hidden")
    rows = page.locator("table").nth(1).get_by_role("row").all()
    texts = [row.locator("th, td").all_inner_texts() for row in rows]
    assert {name: values for name, *values in texts} == CHANGED
    names, values = (grid.inner_text().split("\n") for grid in page.get_by_role("grid").all())
    for metric in HEADLINE:
        start = 3 * names.index(metric)
        found = [float(value) for value in values[start : start + 3]]
        assert found == [round(value, 3) for value in shown.values(metric)]


def test_a_picture_of_an_experiment_opens(page: "Page", shown: Shown) -> None:
    run_id = shown.runs["sparser"].info.run_id
    page.goto(f"{shown.address}/experiments/{shown.experiment}/runs/{run_id}/artifacts")
    for part in CONFUSION.split("/"):
        page.get_by_text(part, exact=True).click()
    picture = page.get_by_alt_text(CONFUSION)
    picture.wait_for()
    size = picture.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    with Image.open(
        shown.project.root / "reports" / "evaluate" / "figures" / "confusion.png"
    ) as file:
        assert size == [*file.size]


LOADED = "[...document.images].map(image => image.complete && image.naturalWidth)"
LUMINANCE = """() => {
  const {backgroundColor, color} = getComputedStyle(document.body);
  return [backgroundColor, color].map(text => text.match(/\\d+/g).slice(0, 3)
    .reduce((sum, part) => sum + Number(part), 0) / 765);
}"""


def test_the_report_stands_alone_on_every_screen(page: "Page", shown: Shown) -> None:
    asked = requests_of(page)
    address = (shown.project.root / paths.PAGE).as_uri()
    page.goto(address)
    named = [
        picture
        for file in (shown.project.root / paths.REPORTS).glob("*/record.json")
        for picture in records.read(file).pictures
        if picture.endswith(".png")
    ]
    widths = page.evaluate(LOADED)
    assert len(widths) == len(named)
    assert min(widths) >= 64
    assert [url for url in asked if not url.startswith("data:")] == [address]
    for width in (390, 1400):
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            paper, ink = page.evaluate(LUMINANCE)
            assert paper < 0.2 < 0.7 < ink if scheme == "dark" else ink < 0.3 < 0.9 < paper


def test_a_comparison_names_what_differs_and_shows_the_images(page: "Page", shown: Shown) -> None:
    project = shown.project
    told = project.run("seedlings", "compare", "short", "longer")
    assert re.search(r"finetune.epochs +1 +2 +1\n", told)
    assert re.search(r"finetuned.accuracy +0\.\d+ +0\.\d+ ", told)
    better, worse = map(int, re.search(r"(\d+) better, (\d+) worse", told).groups())  # type: ignore[union-attr]
    accuracies = shown.values("finetuned/accuracy")
    images = shown.runs["short"].data.metrics["images"]
    count = f"{images:.0f} test images in"
    assert f"{count} short, {count} longer, {images:.0f} in both" in told
    assert "Images whose split changed: none" in told
    assert better - worse == round((accuracies[1] - accuracies[0]) * images)
    page.goto((project.root / "comparison.html").as_uri())
    widths = page.evaluate(LOADED)
    assert len(widths) == min(better, 24) + min(worse, 24)
    assert min(widths) >= 64
    by_run = project.run("seedlings", "compare", *(shown.runs[n].info.run_id for n in NAMES[:2]))
    assert f"{better} better, {worse} worse" in by_run


def test_a_comparison_of_the_same_says_so(shown: Shown) -> None:
    told = shown.project.run("seedlings", "compare", "sparser")  # which is in the workspace
    assert "Parameters: none differs" in told
    assert "Metrics: none differs" in told
    assert "0 better, 0 worse; p = 1" in told


def test_a_better_model_becomes_the_champion_and_is_served(shown: Shown) -> None:
    project = shown.project
    assert "version 1 now: there was no champion" in project.run("seedlings", "promote", "short")
    told = project.run("seedlings", "promote", "longer")
    assert re.search(
        r"version 2 now: of \d+ test images( in \d+ groups)? \d+ are answered better", told
    )
    for name, reason in (("short", "does not become"), ("longer", "is the champion already")):
        told = project.run("seedlings", "promote", name, fails=True)
        assert reason in told
        assert "Traceback" not in told
    client = mlflow.MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    champion = client.get_model_version_by_alias("seedlings", "champion")
    assert champion.run_id == shown.runs["longer"].info.run_id
    accuracy = shown.runs["longer"].data.metrics["finetuned/accuracy"]
    assert f"Its result: **accuracy {accuracy:.4f} (" in champion.description
    assert set(champion.tags) == {f"seedlings.promoted_{what}" for what in ("by", "at", "because")}
    [image, *_] = sorted((project.root / paths.RAW).rglob("*.png"))
    command = ["seedlings", "predict", "--csv", "--model", "models:/seedlings@champion", str(image)]
    by_champion = project.run(*command)
    by_run = project.run(*command[:4], champion.run_id, str(image))
    assert f"{image}," in by_champion
    assert by_champion.splitlines()[-1] == by_run.splitlines()[-1]
    assert "version 3 now: forced" in project.run("seedlings", "promote", "--force", "short")


PICTURES = "[...document.querySelectorAll('[data-testid=stImage] img')]"


def test_a_picture_that_is_dropped_on_the_demo_is_answered(page: "Page", shown: Shown) -> None:
    pytest.importorskip("streamlit", reason="there is no Streamlit here")
    project, port = shown.project, servers.free_port()
    [image, *_] = sorted((project.root / paths.RAW).rglob("*.png"))
    model = ("--model", str(paths.PACKAGED))
    told = project.run("seedlings", "predict", "--json", *model, str(image))
    [row] = json.loads(told[told.index("[\n") :])
    command = ("seedlings", "demo", *model, "--port", str(port))
    asked = requests_of(page)
    with servers.running(*command, port=port, folder=project.root, env=project.env):
        page.goto(f"http://127.0.0.1:{port}")
        page.locator("input[type=file]").set_input_files(image)
        page.get_by_role("heading", name=row["prediction"], exact=True).wait_for()
        page.wait_for_function(f"{PICTURES}.filter(image => image.naturalWidth).length == 3")
        likeliest = max(row["probabilities"].items(), key=lambda entry: entry[1])
        page.get_by_text(f"{likeliest[0]}: {likeliest[1]:.1%}", exact=True).wait_for()
        sizes = page.evaluate(f"{PICTURES}.map(image => image.naturalWidth)")
    assert sizes[1:] == [28, 28]  # what the model sees, and Grad-CAM on it
    elsewhere = [url for url in asked if not url.startswith((f"http://127.0.0.1:{port}/", "data:"))]
    assert elsewhere == []
