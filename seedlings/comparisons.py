"""Comparisons: what differs between states of the pipeline, down to the single test image."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seedlings import images, layout, metrics, pages, records, sheets, summaries, sync, tracking
from seedlings import states as every_state
from seedlings.errors import SeedlingsError
from seedlings.states import State

WORKSPACE = "workspace"
_PREDICTIONS = layout.report("evaluate") / "predictions.csv"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the states: its parameters, its metrics, and what its models said of each image."""

    name: str
    state: State
    metrics: dict[str, float]
    predictions: pd.DataFrame  # indexed by path; label, finetuned, score

    @property
    def params(self) -> dict[str, Any]:
        """Every parameter under its full key."""
        return self.state.params

    @property
    def images(self) -> str:
        """DVC's hash of all images as they came."""
        return self.state.hashes("download")[layout.RAW.as_posix()]


@dataclass(frozen=True, slots=True)
class Change:
    """One test image that the two fine-tuned models answer with unlike success."""

    path: str
    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of the test images between the first side and another."""

    name: str
    common: int  # images in both tests
    same_images: bool  # whether both tests are of the same images with the same labels
    better: list[Change]
    worse: list[Change]
    p_value: float


def side(name: str) -> Side:
    """A side by the name of an experiment, a revision, a run in MLflow, or `workspace`.

    Raises SeedlingsError where there is none, or DVC does not have its reports here.
    """
    state = _state(name)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        state.get([layout.report("evaluate")], root)
        record = records.read(root / layout.record("evaluate"))
        text = {"path": str, "label": str, "finetuned": str, "baseline": str}
        table = pd.read_csv(root / _PREDICTIONS, dtype=text, keep_default_na=False)
    table["score"] = scores(table, state.params["task"])
    return Side(name, state, record.metrics, table.set_index("path"))


def differing(sides: Sequence[Side]) -> dict[str, list[Any]]:
    """The parameters that are not the same on all sides, with the value of each."""
    keys = sorted({key for one in sides for key in one.params})
    rows = {key: [one.params.get(key) for one in sides] for key in keys}
    return {key: values for key, values in rows.items() if any(v != values[0] for v in values)}


def side_by_side(sides: Sequence[Side]) -> dict[str, list[str]]:
    """The metrics of both models that differ, with their intervals, one text a side."""
    rows: dict[str, list[str]] = {}
    for model in ("finetuned", "baseline"):
        for line in summaries.lines(sides[0].metrics):
            texts = [_with_interval(one.metrics, f"{model}/{line.metric}") for one in sides]
            if not line.is_end and any(text != texts[0] for text in texts):
                rows[f"{model} {line.title}"] = texts
    return rows


def changes(first: Side, other: Side) -> Changes:
    """Which test images the other's fine-tuned model answers better or worse, most changed first.

    The p value is of McNemar's test for classes, else of Wilcoxon's.
    """
    if first.params["task"] != other.params["task"]:
        raise SeedlingsError(
            f"expected states of one task, found {first.params['task']} ({first.name}) and "
            f"{other.params['task']} ({other.name})"
        )
    both = first.predictions.join(other.predictions, suffixes=("", "_after"), how="inner")
    gain = (both["score_after"] - both["score"]).to_numpy()
    order = np.argsort(-np.abs(gain), kind="stable")
    found = [(gain[row], _change(both.iloc[row])) for row in order if gain[row]]
    return Changes(
        other.name,
        len(both),
        len(both) == len(first.predictions) == len(other.predictions)
        and bool((both["label"] == both["label_after"]).all())
        and first.images == other.images,
        [change for by, change in found if by > 0],
        [change for by, change in found if by < 0],
        _p_value(both["score"].to_numpy(), both["score_after"].to_numpy(), first.params["task"]),
    )


def write(sides: Sequence[Side], found: Sequence[Changes], path: Path, most: int = 24) -> None:
    """Write the comparison as a page, with the pictures of at most `most` images a list."""
    wanted = {
        change.path
        for entry in found
        for side in (entry.better, entry.worse)
        for change in side[:most]
    }
    values = {
        "title": "Comparison of " + ", ".join(one.name for one in sides),
        "names": [one.name for one in sides],
        "parameters": differing(sides),
        "metrics": side_by_side(sides),
        "changes": found,
        "most": most,
        "pictures": _pictures(sides[0].state, sorted(wanted)),
    }
    pages.write("comparison.html", values, path)


def _change(row: pd.Series) -> Change:
    return Change(str(row.name), row["label"], row["finetuned"], row["finetuned_after"])


def _pictures(state: State, paths: Sequence[str]) -> dict[str, str]:
    """The images as they came, small, as data addresses."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        state.get([layout.RAW / path for path in paths], root)
        return {
            path: pages.data_address(sheets.fit(images.read(root / layout.RAW / path)))
            for path in paths
        }


def _state(name: str) -> State:
    try:
        return _named(name)
    except SeedlingsError as error:
        if name == WORKSPACE:
            raise
        state = _state_of_run(name)
        if state is None:
            raise SeedlingsError(
                f"expected an experiment, a revision, a run in MLflow or `{WORKSPACE}`, "
                f"found {name!r}"
            ) from error
        return state


def _state_of_run(run_id: str) -> State | None:
    """The state that a run in MLflow belongs to, by its parent's tags; None if there is none."""
    with tracking.reachable():
        runs = {run.id: run for run in tracking.Tracker().runs()}
    run = runs.get(run_id)
    if run is None:
        return None
    tags = runs.get(run.tags.get(tracking.PARENT, run_id), run).tags
    if sync.LOCK not in tags:
        raise SeedlingsError(f"the run {run_id} is not complete in MLflow: run `seedlings sync`")
    for revision in ("seedlings.experiment", "mlflow.source.git.commit", WORKSPACE):
        with suppress(SeedlingsError):  # what is gone by one name may be there by another
            state = _named(tags.get(revision, revision))
            if state.digest == tags[sync.LOCK]:
                return state
    raise SeedlingsError(
        f"the run {run_id} is of a state that is not here any more; its tag "
        f"seedlings.restore says: {tags.get('seedlings.restore', 'nothing')}"
    )


def _named(revision: str) -> State:
    return every_state.current() if revision == WORKSPACE else every_state.at(revision)


def scores(table: pd.DataFrame, task: str) -> NDArray[np.float64]:
    """How good the fine-tuned model's answer is, image by image: the higher, the better."""
    if task == "regression":
        return -(table["finetuned"].astype(float) - table["label"].astype(float)).abs().to_numpy()
    if task == "multilabel":
        return table["finetuned_f2"].to_numpy(dtype=np.float64)
    return (table["finetuned"] == table["label"]).to_numpy(dtype=np.float64)


def _p_value(before: NDArray[np.float64], after: NDArray[np.float64], task: str) -> float:
    if task in ("multilabel", "regression"):
        return metrics.wilcoxon(before, after)
    return metrics.mcnemar(before > 0, after > 0).p_value


def _with_interval(numbers: Mapping[str, float], key: str) -> str:
    value, low = numbers.get(key), numbers.get(f"{key}_low")
    if value is None:
        return ""
    ends = "" if low is None else f" ({low:.4f} to {numbers[f'{key}_high']:.4f})"
    return f"{value:.4f}{ends}"
