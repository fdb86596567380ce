"""The launcher: what it checks, what it passes on, and that nothing of it reaches a result."""

import hashlib
import json
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from imports import ROOT

from seedlings import processor, run
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.tracking import messages

LOGGERS = {"failing": "import sys; sys.exit('no MLflow')", "absent": "pass"}
READER = """
import sys, time
from pathlib import Path
from seedlings.tracking import messages
while not Path("go").exists():
    time.sleep(0.1)
messages._IDLE = 0.3
for stage in messages.read(Path(sys.argv[1]), int(sys.argv[2])):
    print(len(list(stage)), file=open("read", "a"))
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["seedlings.run", "segment"])
    monkeypatch.setattr(messages, "_READER", (sys.executable, "-c", LOGGERS["absent"]))
    monkeypatch.delenv("SEEDLINGS_TRACKING", raising=False)


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Record], None]], None]:
    def replace(main: Callable[[Record], None], stage: str = "segment") -> None:
        module = types.ModuleType(f"stages.{stage}")
        module.main = main  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"stages.{stage}", module)
        monkeypatch.setattr(sys, "argv", ["seedlings.run", stage])

    return replace


def train(record: Record) -> None:
    record.add_epoch({"loss": 2.0})
    record.add_epoch({"loss": 1.0})


def told() -> list[dict[str, Any]]:
    """The messages of the last stage, which no run logger has read."""
    files = sorted(Path(".dvc/tmp/run_logger").glob("*/*.jsonl"), key=lambda path: path.name)
    lines = files[-1].read_text("utf-8").splitlines() if files else []
    return [json.loads(line) for line in lines]


def test_the_logger_is_told_the_parameters_as_they_are_written(define: Callable) -> None:
    """Sync finds the run of a revision by its parameters, in which 90 is not 90.0."""
    tree = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    tree["finetune"]["augment"]["rotation"] = 90
    Path("params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    define(train)
    run.main()
    assert told()[0]["tree"] == tree
    assert str(told()[0]["tree"]["finetune"]["augment"]["rotation"]) == "90"


def test_the_logger_is_told_of_the_start_each_epoch_and_the_end(define: Callable) -> None:
    define(train)
    run.main()
    start, *epochs, end = told()
    assert start["stage"] == "segment"
    assert start["reads"] == ["download", "split"]
    assert start["params"]["segment.method"] == "excess_green"
    assert start["tree"]["finetune"]["epochs"] == 60
    assert [(e["epoch"], e["values"]) for e in epochs] == [(1, {"loss": 2.0}), (2, {"loss": 1.0})]
    written = Path("reports/segment/record.json").read_bytes()
    assert end["finished"] == hashlib.sha256(written).hexdigest()
    times = [message["time"] for message in (start, *epochs, end)]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SeedlingsError("expected this, found that"), "segment: expected this, found that"),
        (OSError(28, "No space left"), "segment: expected room for its outputs, found the disk"),
    ],
)
def test_an_expected_error_has_no_traceback_and_no_end_is_told(
    error: Exception, message: str, define: Callable
) -> None:
    def fail(record: Record) -> None:
        raise error

    define(fail)
    with pytest.raises(SystemExit, match=message):
        run.main()
    assert [list(message) for message in told()] == [["stage", "params", "reads", "tree", "time"]]
    assert not Path("reports/segment/record.json").exists()


def test_portable_needs_a_processor_with_avx2(
    define: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(train)
    monkeypatch.setattr(processor, "_has_avx2", lambda: False)
    monkeypatch.setattr(processor.platform, "machine", lambda: "x86_64")
    with pytest.raises(SystemExit, match=r"segment: params\.yaml: portable: expected an x86-64"):
        run.main()
    assert told() == []
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("portable: true", "portable: false"), "utf-8")
    with monkeypatch.context() as context:  # which puts back what the stage unsets
        context.setattr(processor, "SETTINGS", {})
        run.main()
    assert "finished" in told()[-1]


def test_parameters_are_checked_before_anything_is_done(define: Callable) -> None:
    tree = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    tree["finetune"]["epohcs"] = 3
    Path("params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    called: list[Record] = []
    define(called.append)
    with pytest.raises(SystemExit, match=r"finetune\.epohcs: no such parameter"):
        run.main()
    assert called == []
    assert told() == []


def test_the_result_is_the_same_with_the_logger_on_off_and_failing(
    define: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(train)
    written = []
    for logger in LOGGERS.values():
        monkeypatch.setattr(messages, "_READER", (sys.executable, "-c", logger))
        run.main()
        written.append(Path("reports/segment/record.json").read_bytes())
    assert told() != []
    shutil.rmtree(".dvc/tmp/run_logger")
    monkeypatch.setenv("SEEDLINGS_TRACKING", "off")
    run.main()
    assert [*written, Path("reports/segment/record.json").read_bytes()] == [written[0]] * 3
    assert told() == []


def test_a_stage_waits_for_the_run_logger_in_a_temporary_folder_of_dvc_alone(
    define: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    define(train)
    monkeypatch.setattr(messages, "_READER", (sys.executable, "-c", READER))
    temporary = tmp_path / ".dvc/tmp/exps/tmp1"
    temporary.mkdir(parents=True)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copyfile(tmp_path / name, temporary / name)
    monkeypatch.chdir(temporary)
    Path("go").touch()
    run.main()
    assert Path("read").read_text() == "4\n"
    monkeypatch.chdir(tmp_path)
    run.main()  # returns while the run logger waits
    Path("go").touch()
    messages.wait_for_all()
    assert Path("read").read_text() == "4\n"


def test_a_setting_of_tracking_that_is_neither_on_nor_off_is_refused(
    define: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(train)
    monkeypatch.setenv("SEEDLINGS_TRACKING", "maybe")
    with pytest.raises(SystemExit, match="SEEDLINGS_TRACKING: expected `on` or `off`"):
        run.main()


@pytest.mark.parametrize("tracking", ["on", "off"])
def test_a_search_gets_the_epochs_of_finetune_alone(
    define: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tracking: str
) -> None:
    folder = tmp_path / "trial"
    folder.mkdir()
    monkeypatch.setenv("SEEDLINGS_TRACKING", tracking)
    for stage in ("segment", "finetune"):
        define(train, stage)
        run.main()
    assert [*folder.iterdir()] == []
    without = Path("reports/finetune/record.json").read_bytes()
    monkeypatch.setenv("SEEDLINGS_TRIAL", str(folder))
    for stage in ("segment", "finetune", "finetune"):
        define(train, stage)
        run.main()
        if tracking == "on":
            epochs = [message["values"] for message in told() if "epoch" in message]
            assert epochs == [{"loss": 2.0}, {"loss": 1.0}]
    lines = (folder / "epochs").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"loss": 2.0}, {"loss": 1.0}] * 2
    assert Path("reports/finetune/record.json").read_bytes() == without


def test_a_search_stops_finetune_after_an_epoch(
    define: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "stop").touch()
    monkeypatch.setenv("SEEDLINGS_TRIAL", str(tmp_path))
    define(train)
    run.main()
    define(train, "finetune")
    with pytest.raises(SystemExit, match="finetune: the search stops this trial after epoch 1"):
        run.main()
    assert (tmp_path / "epochs").read_text(encoding="utf-8") == '{"loss": 2.0}\n'
    assert not Path("reports/finetune/record.json").exists()
