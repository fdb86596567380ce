"""dvc.yaml tells the truth: deps are the imports, params are what the scripts read."""

import ast
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from imports import ROOT, closure

from seedlings import pipeline, reports, tracking
from seedlings.params import Params

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def script_of(stage: str) -> Path:
    return ROOT / "stages" / f"{stage}.py"


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_script_and_its_imports(stage: str) -> None:
    declared = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    assert declared == {f"stages/{stage}.py"} | closure(script_of(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_sections_that_the_script_reads(stage: str) -> None:
    tree = ast.parse(script_of(stage).read_text(encoding="utf-8"))
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "params"
    }
    assert read == {name.split(".")[0] for name in STAGES[stage]["params"]}
    assert read <= set(Params.model_fields)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_script_is_a_short_story(stage: str) -> None:
    text = script_of(stage).read_text(encoding="utf-8")
    functions = [n.name for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]
    assert functions == ["main"]
    assert len(text.splitlines()) < 60
    assert f'@stage("{stage}")' in text
    assert STAGES[stage]["cmd"] == f"python -m stages.{stage}"


def test_the_report_depends_on_its_templates_and_on_all_that_other_stages_report() -> None:
    deps = set(STAGES["report"]["deps"])
    templates = {f"seedlings/templates/{name}" for name in ("page.html", "report.html")}
    assert templates <= deps
    assert {f"reports/{stage}" for stage in STAGES if stage != "report"} <= deps
    assert list(reports.STAGES) == [stage for stage in STAGES if stage != "report"]


def test_every_script_is_a_stage() -> None:
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert scripts == set(STAGES)


def test_the_closure_follows_imports_of_imports() -> None:
    found = closure(ROOT / "stages" / "download.py")
    assert {"seedlings/__init__.py", "seedlings/sources.py", "seedlings/archives.py"} <= found
    assert "seedlings/backbones.py" not in found


@pytest.mark.parametrize(
    ("library", "home"),
    [("mlflow", "tracking.py"), ("bcolz", "store.py"), ("tensorflow", "runtime.py")],
)
def test_a_library_is_imported_in_one_module_alone(library: str, home: str) -> None:
    users = {
        path.name
        for path in (ROOT / "seedlings").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (
            isinstance(node, ast.Import)
            and any(a.name.split(".")[0] == library for a in node.names)
        )
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == library)
    }
    assert users == {home}


def test_what_a_stage_reads_is_known_by_the_stage_that_writes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    assert pipeline.reads("download") == []
    assert pipeline.reads("baseline") == ["segment", "split"]
    assert pipeline.reads("report") == sorted(set(STAGES) - {"report"})


def test_a_served_model_needs_what_its_code_imports() -> None:
    served = ROOT / "seedlings" / "served.py"
    modules = {
        name.split(".")[0]
        for file in [served, *(ROOT / name for name in closure(served))]
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        for name in _imported(node)
    }
    known = packages_distributions()
    makers = [{maker.lower() for maker in known[name]} for name in modules & set(known)]
    pinned = {*tracking._SERVED_WITH}
    own = {"seedlings"}
    assert all(of_one & (pinned | own) for of_one in makers)
    assert pinned - set().union(*makers) == {"keras", "tensorflow"}  # which are imported in a block


def _imported(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
