"""The structure of the library: rooms and the order of their imports."""

import ast
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
        "answers.py",
        "tasks.py",
        "images.py",
        "io",
        "config",
        "plots",
        "data",
    ),
    *(
        "segmentation",
        "networks",
        "training",
        "evaluation",
        "explain",
        "packaging",
        "serving",
        "exports",
    ),
    *("report", "shift", "params.py", "presets.py", "tracking", "review", "cluster"),
    *("search", "runners", "repeats", "cli", "run.py"),
]
DASK = "cluster/computation.py cluster/connection.py cluster/local.py cluster/worker.py"
OPTUNA = " ".join(
    f"search/{name}.py"
    for name in ("page", "pictures", "results", "run_log", "space", "study", "trials")
)
MODULES = sorted(LIBRARY.rglob("*.py"))


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
        ("tensorflow", "networks/runtime.py exports/runtimes.py"),
        *((name, "exports/runtimes.py") for name in ("ai_edge_litert", "onnxruntime", "openvino")),
        ("fastapi", "serving/http_requests.py serving/http_server.py"),
        ("streamlit", "serving/demo.py review/page.py"),
        ("ruamel", "config/yaml_files.py"),
        ("distributed", f"{DASK} runners/remote.py"),
        ("dask", "cluster/connection.py cluster/local.py"),
        ("optuna", f"{OPTUNA} runners/coordinator.py runners/executions.py"),
        ("keras_hub", "networks/hub.py"),
    ],
)
def test_a_library_is_imported_in_its_home_alone(library: str, home: str) -> None:
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
