"""The structure of the library: rooms, their order, and the words in them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from imports import ROOT, direct

LIBRARY = ROOT / "seedlings"
# A room imports only from rooms before it.
ORDER = [
    *(
        "__init__.py",
        "errors.py",
        "processor.py",
        "tasks.py",
        "images.py",
        "io",
        "config",
        "plots",
        "data",
    ),
    *("segmentation", "networks", "training", "evaluation", "explain", "packaging", "serving"),
    *("report", "params.py", "params_file.py", "tracking", "cluster"),
    *("search", "runners", "cli", "run.py"),
]
MODULES = sorted(LIBRARY.rglob("*.py"))
NAMES = {
    *("judge", "ascent", "peak", "probe", "sheet", "gallery", "catalog", "index", "live", "state"),
    *("champion", "served", "usual", "unlike", "sure", "came_true", "trade_off", "trunk", "top"),
    *("above", "set_aside", "stray", "snapshot", "layout", "fetch"),
}
TERMS = {  # names of others, or of geometry, that mean something else
    *("top", "index", "state", "champion", "CHAMPION", "alive", "deliver"),
}


def place(path: Path) -> int:
    return ORDER.index(path.relative_to(LIBRARY).parts[0])


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(LIBRARY).as_posix())
def test_imports_go_one_way(module: Path) -> None:
    wrong = [other for other in direct(module) if place(other) > place(module)]
    assert wrong == []


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("mlflow", "tracking/client.py tracking/pyfunc_model.py"),
        ("bcolz", "io/store.py"),
        ("tensorflow", "networks/runtime.py"),
        ("streamlit", "serving/demo.py"),
        ("ruamel", "params_file.py"),
        ("distributed", "cluster/connection.py"),
        ("dask", "cluster/connection.py"),
        ("optuna", "search/study.py"),
    ],
)
def test_a_library_is_imported_in_one_module_alone(library: str, home: str) -> None:
    users = {
        path.relative_to(LIBRARY).as_posix()
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (
            isinstance(node, ast.Import)
            and any(a.name.split(".")[0] == library for a in node.names)
        )
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == library)
    }
    assert users == {*home.split()}


def test_one_module_reads_the_parameters() -> None:
    readers = [m for m in MODULES if "read_yaml(paths.PARAMS)" in m.read_text(encoding="utf-8")]
    assert readers == [LIBRARY / "config" / "params.py"]


def test_every_module_has_its_test_in_the_room_of_its_name() -> None:
    tests = {path.relative_to(ROOT / "tests").as_posix() for path in ROOT.glob("tests/**/test_*")}
    rooms = {path.split("/")[0] for path in tests if "/" in path} - {"pipeline", "pretraining"}
    assert rooms <= {folder.name for folder in LIBRARY.iterdir() if folder.is_dir()}


def defined(tree: ast.AST) -> Iterator[str]:
    """The names of functions, classes and parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.arg):
            yield node.arg


def parts(name: str) -> set[str]:
    """A name and its words, without a plural's s."""
    snake = re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", name).lower().strip("_")
    return {snake, *snake.split("_"), *(word.removesuffix("s") for word in snake.split("_"))}


def test_names_are_the_terms_of_the_field() -> None:
    forbidden = NAMES - TERMS
    for module in MODULES:
        names = {module.stem, *defined(ast.parse(module.read_text(encoding="utf-8")))}
        found = {name for name in names if parts(name) & forbidden}
        assert not found, (module, found)
    text = (ROOT / "conf" / "base.yaml").read_text(encoding="utf-8")
    keys = set(re.findall(r"(?m)^ *(\w+):", text))
    assert not {key for key in keys if parts(key) & forbidden}
