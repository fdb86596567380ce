"""dvc.yaml is true: deps are the imports, params are what the scripts take."""

import ast
import inspect
import shutil
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml
from dvc.repo import Repo
from imports import ROOT, closure, room

from seedlings.config import pipeline, yaml_files
from seedlings.config.params import Section
from seedlings.params import Params
from seedlings.report import notes
from seedlings.tracking import tags

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
LIBRARY = ROOT / "seedlings"
STAGE = LIBRARY / "config" / "stage.py"  # calls every script


def script_of(stage: str) -> Path:
    return ROOT / "stages" / f"{stage}.py"


def needed(stage: str) -> set[Path]:
    """The files of the library that a stage imports."""
    return closure(script_of(stage), STAGE) | {STAGE}


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_script_the_rooms_of_its_imports_and_the_locked_packages(stage: str) -> None:
    declared = {dep for dep in STAGES[stage]["deps"] if dep.startswith(pipeline.CODE)}
    rooms = {room(file) for file in needed(stage)}
    assert declared == {f"stages/{stage}.py", "requirements.lock"} | rooms


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_what_only_observes(stage: str) -> None:
    observers = {LIBRARY / "tracking", LIBRARY / "serving", LIBRARY / "cli", LIBRARY / "run.py"}
    assert not {file for file in needed(stage) if observers & {file, *file.parents}}


def test_every_module_of_a_room_that_a_stage_depends_on_is_imported_by_some_stage() -> None:
    imported = set().union(*(needed(stage) for stage in STAGES))
    rooms = {room(file) for file in imported}
    modules = {file for file in LIBRARY.rglob("*.py") if room(file) in rooms}
    assert modules - imported == set()


@pytest.mark.parametrize("stage", ["extract", "baseline", "finetune"])
def test_a_costly_stage_draws_nothing_and_unpacks_nothing(stage: str) -> None:
    rooms = {room(file) for file in needed(stage)}
    assert not rooms & {"seedlings/plots", "seedlings/data", "seedlings/evaluation"}


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_what_the_script_takes(stage: str) -> None:
    main = import_module(f"stages.{stage}").main
    declared = {name.split(".")[0] for name in STAGES[stage]["params"]}
    taken = dict(get_type_hints(main))
    applied = {"portable"} - set(taken)  # by config/stage.py, for every stage
    assert set(taken) - {"record", "engine", "return"} == declared - applied
    assert declared <= set(Params.model_fields)
    kinds = get_type_hints(Params)
    for name in declared - applied:
        expected = kinds[name] if isinstance(kinds[name], type) else str
        assert taken[name] is expected or not issubclass(taken[name], Section)
    assert next(iter(inspect.signature(main).parameters)) == "record"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_computes_what_a_served_model_does_declares_portable(stage: str) -> None:
    rooms = {room(file) for file in needed(stage)}
    computes = bool(rooms & {"seedlings/networks", "seedlings/segmentation"})
    assert ("portable" in STAGES[stage]["params"]) == computes


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_script_has_a_main_alone(stage: str) -> None:
    text = script_of(stage).read_text(encoding="utf-8")
    functions = [n.name for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]
    assert functions == ["main"]
    assert STAGES[stage]["cmd"] == f"python -m seedlings.run {stage}"


def test_the_report_depends_on_all_that_other_stages_report() -> None:
    deps = set(STAGES["report"]["deps"])
    assert {f"reports/{stage}" for stage in STAGES if stage != "report"} <= deps
    assert list(notes.STAGES) == [stage for stage in STAGES if stage != "report"]
    for template in ("report.html", "model_card.md"):
        assert (LIBRARY / "report" / "templates" / template).is_file()  # in a room that is a dep


def test_dvc_depends_on_the_path_of_the_data_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(ROOT / "dvc.yaml", "dvc.yaml")
    Repo.init(no_scm=True).close()
    for path in ("été", "/mnt/a: b #c", "/mnt/${data.url}/$$ {a}", " o'b[1]*? ", "1e3"):
        text = yaml_files.edit("data: {}", {"data": {"path": path}})
        Path("params.yaml").write_text(text, encoding="utf-8")
        with Repo() as repo:
            stage = repo.stage.load_one(name="download")
            assert str(tmp_path / path) in [dep.fs_path for dep in stage.deps]


def test_what_a_stage_reads_is_known_by_the_stage_that_writes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    found = pipeline.read()
    assert found.reads("download") == []
    assert found.reads("baseline") == ["segment", "split"]
    assert found.reads("report") == sorted(set(STAGES) - {"report"})


def test_a_served_model_needs_what_its_code_imports() -> None:
    served = LIBRARY / "tracking" / "pyfunc_model.py"
    modules = {
        name.split(".")[0]
        for file in [served, *closure(served)]
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        for name in _imported(node)
    }
    known = packages_distributions()
    makers = [
        {maker.lower().replace(".", "-") for maker in known[name]} for name in modules & set(known)
    ]
    pinned = {*tags.SERVED_WITH}
    own = {"seedlings"}
    assert all(of_one & (pinned | own) for of_one in makers), makers
    assert pinned - set().union(*makers) == {"keras"}  # with TensorFlow, it is imported in a block


def _imported(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
