from pathlib import Path
from typing import Any

import pytest

from seedlings.config import records
from seedlings.config.records import Record


def test_a_record_comes_back(tmp_path: Path) -> None:
    record = Record("finetune", params={"finetune.epochs": 2})
    record.add_metrics({"accuracy": 1}, "validation/")
    record.add_epoch({"loss": 2.0})
    record.add_epoch({"loss": 1.0})
    record.add_picture(Path("reports") / "finetune" / "curves.png")
    record.details["empty"] = ["a.png"]
    record.write(tmp_path / "record.json")
    assert records.read(tmp_path / "record.json") == record
    assert record.curves == {"loss": [2.0, 1.0]}
    assert record.metrics == {"validation/accuracy": 1.0}
    assert record.pictures == ["reports/finetune/curves.png"]


def test_after_each_epoch_the_stage_writes_before_an_observer_is_told() -> None:
    told: list[Any] = []
    record = Record("finetune")
    record.on_epoch = lambda epoch, values: told.append((epoch, dict(values)))
    record.after_epoch = lambda one: told.append(one.curves["loss"].copy())
    record.add_epoch({"loss": 2.0})
    record.add_epoch({"loss": 1.0})
    assert told == [[2.0], (1, {"loss": 2.0}), [2.0, 1.0], (2, {"loss": 1.0})]


def test_a_metric_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finetune: the metric validation/loss is nan"):
        Record("finetune").add_metrics({"loss": float("nan")}, "validation/")
