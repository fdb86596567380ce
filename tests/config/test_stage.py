import json
import os
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import yaml
from imports import ROOT

from seedlings import params, processor
from seedlings.config import pipeline, stage
from seedlings.config.records import Record
from seedlings.data.params import Data, Split
from seedlings.errors import SeedlingsError
from seedlings.explain.params import Explain
from seedlings.io.shards import Engine, Here
from seedlings.segmentation.params import Segment

Define = Callable[[str, Callable[..., None]], None]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Put a function in the place of the `main` of a stage's script."""

    def replace(name: str, main: Callable[..., None]) -> None:
        module = types.ModuleType(f"stages.{name}")
        module.main = main  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"stages.{name}", module)

    return replace


def run(
    name: str, observe: stage.Observer = lambda record: nullcontext(), engine: Engine | None = None
) -> dict[str, dict[str, object]]:
    stage.run(name, observe, values=params.load(), pipeline=pipeline.read(), engine=engine)
    return json.loads(Path(f"reports/{name}/record.json").read_text(encoding="utf-8"))


def test_a_stage_gets_its_parameters_and_writes_its_record(define: Define) -> None:
    def main(record: Record, *, segment: Segment, task: str) -> None:
        record.add_metrics({"size": segment.pixels[0]})
        assert task == "multiclass"

    define("segment", main)
    written = run("segment")
    assert written["metrics"] == {"size": 150.0}
    assert written["params"]["segment.method"] == "excess_green"
    assert {key.split(".")[0] for key in written["params"]} == {"portable", "segment", "task"}


def test_a_key_that_dvc_yaml_does_not_declare_is_not_there(define: Define) -> None:
    found = []

    def main(record: Record, *, data: Data, split: Split, seed: int, task: str) -> None:
        found.extend([data.on_bad_image, data.annotations.header, split.rule])
        with pytest.raises(AttributeError, match="source"):
            _ = data.source

    define("split", main)
    written = run("split")
    assert found == ["refuse", True, "per_class"]
    keys = {key for key in written["params"] if key.startswith("data.")}
    assert "data.annotations.file" in keys
    assert {key for key in keys if "annotations" not in key} == {"data.group", "data.on_bad_image"}


def test_a_section_that_dvc_yaml_does_not_declare_is_not_passed(define: Define) -> None:
    define("segment", lambda record, *, evaluate: None)
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'evaluate'"):
        run("segment")


@pytest.mark.parametrize(
    ("name", "portable", "has_settings"),
    [("segment", True, True), ("segment", False, False), ("split", False, True)],
)
def test_a_stage_that_declares_portable_has_its_settings_and_others_have_them_always(
    name: str, portable: bool, has_settings: bool, define: Define, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "SETTINGS", {"ONE_SETTING": "1"})
    monkeypatch.setenv("ONE_SETTING", "2")
    tree = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    text = yaml.safe_dump(tree | {"portable": portable})
    Path("params.yaml").write_text(text, encoding="utf-8")
    found: list[str | None] = []
    define(name, lambda record: found.append(os.environ.get("ONE_SETTING")))
    run(name)
    assert found == ["1" if has_settings else None]


def test_an_output_that_a_kill_left_under_another_name_is_put_back_first(define: Define) -> None:
    left = Path("data/.images.old")
    left.mkdir(parents=True)
    (left / "rows.npy").write_bytes(b"rows")

    def main(record: Record) -> None:
        assert not left.exists()
        assert Path("data/images/rows.npy").read_bytes() == b"rows"

    define("segment", main)
    run("segment")


def test_a_stage_that_asks_for_an_engine_gets_it_and_by_default_this_process(
    define: Define,
) -> None:
    found: list[object] = []

    def main(record: Record, *, task: str, engine: Engine) -> None:
        found.append(engine)

    define("segment", main)
    other = Here()
    run("segment", engine=other)
    run("segment")
    assert found[0] is other
    assert isinstance(found[1], Here)


def change_parameters() -> None:
    """Change a parameter that the stage segment declares, and one that it does not declare."""
    tree = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    tree["segment"]["background"] = "mean"
    tree["finetune"]["epochs"] = 7
    Path("params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "file", "text", "changed"),
    [
        ("segment", "params.yaml", "segment.background", "segment.background"),
        ("segment", "seedlings/io/store.py", "# Other code.", "seedlings/io/store.py"),
        ("segment", "requirements.lock", "keras==4", "requirements.lock"),
        ("download", "data/incoming/new.png", "png", "data/incoming/new.png"),
        ("split", "data/corrections.csv", "digest", "data/corrections.csv"),
    ],
)
def test_what_dvc_records_at_the_end_of_a_stage_may_not_change_while_it_runs(
    name: str, file: str, text: str, changed: str, define: Define
) -> None:
    """DVC would record the new values with the result of the old ones."""

    def main(record: Record) -> None:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        if file == "params.yaml":
            change_parameters()
        elif not Path(file).exists():
            Path(file).write_text(text)

    define(name, main)
    with pytest.raises(SeedlingsError, match=f"until it ends, found changed: {changed}; DVC would"):
        run(name)
    assert not Path(f"reports/{name}/record.json").exists()
    run(name)
    assert Path(f"reports/{name}/record.json").exists()


def test_parameters_may_not_change_either_while_the_observer_of_a_stage_ends(
    define: Define,
) -> None:
    @contextmanager
    def slow(record: Record) -> Iterator[None]:
        yield
        change_parameters()

    define("segment", lambda record: None)
    with pytest.raises(SeedlingsError, match="until it ends, found changed: segment.background;"):
        run("segment", slow)


def test_parameters_that_are_equal_to_dvc_give_the_same_record(
    define: Define,
) -> None:
    """To DVC, 1 and 1.0 are equal, and so are two orders of the keys."""

    def main(record: Record, *, explain: Explain, seed: int) -> None:
        record.details["layers"] = list(explain.filters or {})
        record.add_metrics({"x": 0.1 + 0.2})
        record.add_epoch({"loss": 1 / 3})

    define("explain", main)
    tree = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    written = []
    for rate, layers in (
        (10, ["block1_conv1", "block5_conv1"]),
        (10.0, ["block5_conv1", "block1_conv1"]),
    ):
        tree["explain"] |= {"rate": rate, "filters": {layer: [0] for layer in layers}}
        tree = dict(reversed(tree.items()))
        text = yaml.safe_dump(tree, sort_keys=False)
        Path("params.yaml").write_text(text, encoding="utf-8")
        run("explain")
        written.append(Path("reports/explain/record.json").read_bytes())
    assert written[0] == written[1]
    assert str(Path.cwd()).encode() not in written[0]
