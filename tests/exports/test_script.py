import ast
from pathlib import Path

import pytest
from imports import ROOT

from seedlings.exports import script


@pytest.mark.parametrize(
    ("composed", "modules"),
    [(script.predict(), script.PREDICT), (script.server(), script.SERVER)],
    ids=["predict.py", "server.py"],
)
def test_a_script_has_the_source_of_each_module(composed: str, modules: tuple[str, ...]) -> None:
    for module in modules:
        source = (ROOT / "seedlings" / f"{module.replace('.', '/')}.py").read_text("utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign):
                assert ast.get_source_segment(source, node) in composed
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(composed))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert "seedlings" not in imported
    assert imported.isdisjoint({"pandas", "keras", "mlflow", "pydantic"})


def modules(root: Path, **sources: str) -> None:
    for name, source in sources.items():
        (root / f"{name}.py").write_text(source)


def test_modules_become_one_file_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "seedlings"
    library.mkdir()
    monkeypatch.setattr(script, "_LIBRARY", library)
    modules(
        library,
        a='"""A."""\n\nimport os\nfrom math import pi\n\n# Why.\nX = pi\n',
        b="from math import e\nfrom seedlings.a import X\n\n\ndef f():\n    return X + e\n",
        c="from seedlings.b import f\n\ny = f()\n",
    )
    composed = script.compose('"""All."""\n', ["a", "b"])
    assert composed.startswith('"""All."""\n\nimport os\nfrom math import e, pi\n')
    assert composed.index("# Why.\nX = pi") < composed.index("def f():\n    return X + e")
    found: dict[str, object] = {}
    exec(composed, found)
    assert found["f"]() == pytest.approx(3.14159265 + 2.71828182)  # type: ignore[operator]
    other = script.compose("", ["c"], {"b": "predict"})
    assert "from predict import f" in other
    assert "seedlings.b" not in other


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("X = 1\n", "b: X is defined in a, too"),
        ("from seedlings.a import X as Y\n", "b: cannot compose `from seedlings.a import X as Y`"),
        ("from seedlings.z import Z\n", "b: cannot compose `from seedlings.z import Z`"),
    ],
)
def test_what_one_file_cannot_have_is_refused(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "seedlings"
    library.mkdir()
    monkeypatch.setattr(script, "_LIBRARY", library)
    modules(library, a="X = 1\n", b=source)
    with pytest.raises(ValueError, match=message):
        script.compose("", ["a", "b"])
