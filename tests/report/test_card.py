"""The model card, from the records of a pipeline of each task and preset, without a network."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from imports import ROOT
from markdown_it import MarkdownIt

from seedlings import presets
from seedlings.config import params as config
from seedlings.config import paths, pipeline, yaml_files
from seedlings.config.records import Record
from seedlings.data import splits
from seedlings.errors import SeedlingsError
from seedlings.evaluation import evaluators
from seedlings.io import split_table
from seedlings.io.files import write_csv
from seedlings.params import check
from seedlings.report import card, notes
from seedlings.report.params import Report
from seedlings.tasks import TASKS, metrics

PRESETS = sorted(path.stem for path in (ROOT / "conf" / "preset").glob("*.yaml"))
BY_TASK = {
    "multiclass": "sample",
    "binary": "horses_or_humans",
    "multilabel": "multilabel",
    "regression": "driving",
}
CLASSES = ["maize", "fat hen", "black-grass"]
COUNT = 60
BY_LABEL = paths.report("evaluate") / "finetuned_classes.csv"
Make = Callable[..., dict[str, Record]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Write the tables that the card reads, and return the records of all stages.

    `make(preset, classes=..., corrected=..., crossing=..., key=value)`: `key` is a parameter, such
    as `evaluate__split`.
    """

    def made(
        preset: str,
        classes: list[str] = CLASSES,
        *,
        corrected: bool = False,
        crossing: bool = False,
        **changes: Any,
    ) -> dict[str, Record]:
        monkeypatch.chdir(ROOT)
        stages = pipeline.read()
        tree = presets.compose([preset])
        full = {key.replace("__", "."): value for key, value in changes.items()}
        tree = config.changed(tree, {"evaluate.bootstrap_samples": 100} | full)  # for speed
        monkeypatch.chdir(tmp_path)
        flat = config.flatten(check(tree).model_dump())
        found = {stage: Record(stage, stages.declared(stage, flat)) for stage in notes.STAGES}
        table = _table(tree["task"], classes, corrected=corrected, crossing=crossing)
        _fill(found, table, tree)
        return found

    return made


def _table(task: str, classes: list[str], *, corrected: bool, crossing: bool) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    texts = {
        "multiclass": classes,
        "binary": classes[:2],
        "multilabel": ["sea", "sea clear", "land clear"],
        "regression": ["-0.5", "0.25", "1.5", "3.0"],
    }[task]
    labels = [texts[n % len(texts)] for n in range(COUNT)]
    table = pd.DataFrame({"path": [f"{n}.png" for n in range(COUNT)], "label": labels})
    table["split"] = np.repeat(["train", "validation", "test"], COUNT // 3)
    table["group"] = [*range(COUNT - 1), 5 if crossing else COUNT - 1]
    table["digest"] = [f"{number:016x}" for number in rng.integers(0, 2**60, COUNT)]
    table["original"] = table["label"]
    if corrected:
        table.loc[COUNT - 2, "original"] = texts[0] if labels[COUNT - 2] != texts[0] else texts[1]
    return table


def _fill(found: dict[str, Record], table: pd.DataFrame, tree: Mapping[str, Any]) -> None:
    """Add to the records what the stages add, for outputs of models that are random."""
    task, params = TASKS[tree["task"]], check(dict(tree))
    split_table.write(table, paths.SPLIT)
    record = found["split"]
    record.add_metrics(splits.totals(table, task))
    record.add_metrics({"crossing_groups": len(splits.crossing_groups(table)), "corrected": 2.0})
    record.details |= {"counts": splits.counts(table, task), "absent": splits.absent(table, task)}
    rng = np.random.default_rng(4)
    rows = (table["split"] == params.evaluate.split).sum()
    units = task.units(table["label"])
    results = {
        name: rng.dirichlet(np.ones(units), rows).astype(np.float32)
        if task.activation == "softmax"
        else rng.uniform(0, 1, (rows, units)).astype(np.float32)
        for name in ("baseline", "finetuned")
    }
    record = found["evaluate"]
    record.add_metrics(evaluators.score(task, table, params.evaluate, 0, results))
    record.add_metrics(evaluators.score_original(task, table, params.evaluate, 0, results))
    record.add_metrics({"out_of_distribution/share": 0.0417})
    if task.has_classes:
        counts = {"listed": 7, "decided": 1, "checked": 59, "agreeing": 52, "reliable": True}
        record.details["doubtful_labels"] = counts
    evaluator = evaluators.of(task, table, params.evaluate, 0)
    write_csv(BY_LABEL, evaluator.table(results["finetuned"]))
    found["package"].add_metrics(
        {"out_of_distribution/distance": 0.7316, "out_of_distribution/expected_share": 0.0097}
    )
    found["finetune"].add_metrics({"temperature": 0.784107})
    found["finetune"].add_metrics({"weights": 92502.0, "trainable_weights": 4236.0})
    found["finetune"].details["precision"] = "float32"
    for stage, epochs in (("baseline", 10), ("finetune", 13)):
        found[stage].curves = {"val_loss": [1.0] * epochs, "loss": [1.0] * epochs}


def written(found: Mapping[str, Record], licence: str | None = None, title: str = "A") -> str:
    return card.text(found, Report(title=title, licence=licence))


def head(text: str) -> dict[str, Any]:
    """The YAML of a card, which YAML 1.1 and YAML 1.2 read alike."""
    start, found, _ = text.split("---\n", 2)
    assert start == ""
    values = yaml.safe_load(found)
    assert yaml_files.parse(found) == values
    return values


def sections(text: str) -> dict[str, str]:
    """The text below each heading."""
    parts = re.split("^#+ (.*)\n", text.split("---\n", 2)[2], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def tables(text: str) -> Iterator[list[list[str]]]:
    """The rows of cells of each table, with the text that a reader sees."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append("".join(child.content for child in token.children))
        elif token.type == "table_close":
            yield rows
            rows = []


NAMES = {metric.title: metric.name for metric in metrics().values()}


def numbers(table: list[list[str]]) -> dict[str, str]:
    """The cells of a table of results that have a number, as `model/metric`."""
    (_, *models), *rows = table
    found, main = {}, NAMES[rows[0][0]]
    for title, *cells in rows:
        metric = {"from": f"{main}_low", "to": f"{main}_high"}.get(title) or NAMES[title]
        found |= {f"{m}/{metric}": cell for m, cell in zip(models, cells, strict=True) if cell}
    return found


@pytest.mark.parametrize("task", BY_TASK)
def test_every_number_of_the_results_is_that_of_the_metrics(task: str, make: Make) -> None:
    found = make(BY_TASK[task], corrected=True, crossing=True, split__rule="share")
    every = found["evaluate"].metrics
    shown = sections(written(found))
    for heading, prefix in (
        ("Evaluation", ""),
        ("With the original labels", "original_labels/"),
        ("Without duplicates of training or validation images", "without_crossing/"),
    ):
        own = {k.removeprefix(prefix): v for k, v in every.items() if k.startswith(prefix)}
        models = ("majority/", "mean/", "baseline/", "finetuned/")
        [table] = tables(shown[heading])
        assert numbers(table) == {
            key: f"{value:.4f}" for key, value in own.items() if key.startswith(models)
        }
    [table] = tables(next(text for name, text in shown.items() if name.startswith("Results by")))
    details = pd.read_csv(BY_LABEL)
    expected = [
        [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
        for row in details.itertuples(index=False)
    ]
    assert table[0] == list(details)
    assert sorted(table[1:]) == sorted(expected)


@pytest.mark.parametrize("task", BY_TASK)
def test_the_results_for_programs_are_the_metrics(task: str, make: Make) -> None:
    found = make(BY_TASK[task])
    values = head(written(found, title="Plants: 1"))
    [model] = values["model-index"]
    [result] = model["results"]
    assert model["name"] == "Plants: 1"
    assert {NAMES[metric["name"]]: metric["value"] for metric in result["metrics"]} == {
        metric.name: found["evaluate"].metrics[f"finetuned/{metric.name}"]
        for metric in TASKS[task].metrics
    }
    assert {metric["type"] for metric in result["metrics"]} >= set(values["metrics"])
    digest = hashlib.md5(paths.SPLIT.read_bytes()).hexdigest()
    assert result["dataset"] == {
        "type": "imagefolder",
        "name": notes.source(found["download"].params),
        "split": "test",
        "revision": digest,
    }
    assert f"`{digest}`" in written(found)
    assert values["library_name"] == "keras"
    is_classification = task != "regression"
    assert values.get("pipeline_tag") == ("image-classification" if is_classification else None)
    assert result["task"]["type"] == values.get("pipeline_tag", "image-regression")


def leaves(value: Any) -> Iterator[float]:
    """All numbers in a value, and the numbers of its entries."""
    if isinstance(value, Mapping | list):
        yield float(len(value))
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from leaves(entry)
    elif isinstance(value, int | float):
        yield float(value)


def known_numbers(found: Mapping[str, Record]) -> set[float]:
    """The numbers in the records, those of the table by label, and all as percentages."""
    by_label = pd.read_csv(BY_LABEL)
    known = {float(card._FEW), *by_label.select_dtypes("number").to_numpy().ravel().tolist()}
    for record in found.values():
        known |= {*leaves(record.metrics), *leaves(record.params), *leaves(record.details)}
        known.add(float(record.epochs))
    return known | {100 * value for value in known}


CODE = re.compile(r"`[^`]*`|^ {4}.*$|\w*[A-Za-z]\d+", re.MULTILINE)  # and VGG16, F1, ...
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[-+]\d+)?")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_number_in_the_card_is_one_of_the_records(preset: str, make: Make) -> None:
    found = make(preset)
    known = known_numbers(found)
    prose = CODE.sub("", written(found).split("---\n", 2)[2])
    for name in pd.read_csv(BY_LABEL).iloc[:, 0]:  # such as a range of numbers
        prose = prose.replace(str(name), "")
    for number in (text.replace(",", "") for text in NUMBER.findall(prose)):
        decimals = len(number.partition(".")[2])
        forms = (f".{decimals}f", ".2g", ".3g")
        assert any(number == f"{value:{form}}" for value in known for form in forms), number


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_result_lacks_is_left_out(preset: str, make: Make) -> None:
    found = make(preset)
    text = written(found)
    task = TASKS[found["evaluate"].params["task"]]
    assert head(text)["tags"][:2] == ["seedlings", task.name]
    body = text.split("---\n", 2)[2]
    assert not re.findall(r"\b(?:None|nan|null|undefined|True|False)\b|[{}]", body)
    assert "\n\n\n" not in text
    shown = sections(text)
    assert all(part.strip() for part in shown.values())
    assert ("Calibration" in shown) == ("probabilities" in task.answer_types)
    assert ("Doubtful labels" in shown) == task.has_classes
    assert not {
        "With the original labels",
        "Without duplicates of training or validation images",
    } & {*shown}


@pytest.mark.parametrize(
    ("licence", "expected", "line"),
    [
        (None, {}, "- Licence: none is named"),
        ("apache-2.0", {"license": "apache-2.0"}, "- Licence: apache-2.0"),
        ("CC-BY-4.0", {"license": "cc-by-4.0"}, "- Licence: CC-BY-4.0"),
        (
            "Our *own*: 1",
            {"license": "other", "license_name": "Our *own*: 1"},
            r"- Licence: Our \*own\*: 1",
        ),
    ],
)
def test_the_licence_is_that_of_the_parameter(
    licence: str | None, expected: dict[str, str], line: str, make: Make
) -> None:
    text = written(make("sample"), licence)
    values = head(text)
    assert {key: values[key] for key in values if key.startswith("license")} == expected
    assert line in text.splitlines()


NASTY = ["a|b", "<b>*x*</b>", "on: `y` #", r"\(z\) $$"]


def test_names_are_text_and_never_markup(make: Make) -> None:
    found = make("sample", NASTY, data__source="folder", data__path="my [images] 'x': #1")
    text = written(found, title="A <b>card</b>: # 'on'")
    assert head(text)["model-index"][0]["name"] == "A <b>card</b>: # 'on'"
    assert head(text)["model-index"][0]["results"][0]["dataset"]["name"] == (
        "folder my [images] 'x': #1"
    )
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(text.split("---\n", 2)[2])
    children = [child for token in tokens for child in token.children or []]
    assert not [child for child in children if child.type == "html_inline"]
    [table] = tables(sections(text)["Results by class"])
    assert sorted(row[0] for row in table[1:]) == sorted(NASTY)
    assert "A <b>card</b>: # 'on'" in ["".join(c.content for c in t.children or []) for t in tokens]


def test_no_folder_of_the_user_is_in_the_card(make: Make) -> None:
    changes = {"data__source": "folder", "data__path": "/home/ann/plants"}
    changes |= {"extract__weights": "/home/ann/own.weights.h5", "extract__checksum": "0" * 64}
    changes |= {"extract__width": 1.0}
    text = written(make("sample", **changes))
    assert "/home" not in text
    assert "ann" not in text.replace("channel", "")
    assert "`own.weights.h5`" in text
    hub = {"extract__backbone": "hub:/home/ann/dino", "extract__weights": "preset"}
    hub |= {"extract__checksum": "0" * 64, "extract__width": 1.0, "portable": False}
    text = written(make("sample", **hub))
    assert "/home" not in text
    assert head(text)["tags"] == ["seedlings", "multiclass", "dino"]


def test_limitations_follow_from_the_records(make: Make) -> None:
    def limits(*arguments: Any, **changes: Any) -> str:
        return sections(written(make(*arguments, **changes)))["Limitations"]

    drawn = "- The images are drawn by a program."
    photographs = "- The evaluated images are of the same data set as those of training."
    assert drawn in limits("sample")
    assert photographs not in limits("sample")
    assert photographs in limits("folder", data__path="data/incoming")
    note = "- Validation images are also used for early stopping and calibration"
    assert note in limits("sample", evaluate__split="validation")
    assert note not in limits("sample")
    assert "- 20 test images are few: the interval of the accuracy is" in limits("sample")
    assert "The weights of the backbone are random" in limits("sample", extract__weights="random")
    few = "- With fewer than 10 evaluated images, so that the result can be chance: "
    assert few in limits("sample")
    assert few not in limits("sample", CLASSES[:2])
    assert "- Groups of duplicates in more than one part of the data: 1." in limits(
        "sample", crossing=True
    )


def test_long_lists_of_names_are_cut_and_long_tables_are_folded(make: Make) -> None:
    classes = [f"class {chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(60)]
    text = written(make("sample", classes))
    [line] = [line for line in text.splitlines() if line.startswith("- Classes: ")]
    assert line.count(",") == 40
    assert line.endswith("class bn, and 20 more in the table of results")
    assert "<details><summary>60 rows</summary>\n\n| label |" in text
    assert text.count("</details>") == 1


def test_the_card_has_the_same_bytes_in_every_folder(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = make("sample")
    text = written(found)
    (tmp_path / "elsewhere").mkdir()
    for name in ("data", "reports"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert written(found) == text
    assert str(tmp_path) not in text


def test_an_empty_licence_is_refused(tree: dict[str, Any]) -> None:
    tree["report"]["licence"] = ""
    with pytest.raises(SeedlingsError, match="report.licence: expected"):
        check(tree)
