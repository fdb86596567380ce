"""The scripts of an export: files that are composed of modules of Seedlings.

A composed module takes names of others by `from seedlings... import name`, without another name for
them, and no two modules define the same name. So their source, without the imports, is a script.
"""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from seedlings.exports import standalone

_LIBRARY = Path(__file__).parents[1]
# In the order of their imports.
PREDICT = (
    "errors",
    "images",
    "segmentation.fits",
    "segmentation.masks",
    "segmentation.preprocessing",
    "answers",
    "serving.inference",
    "serving.texts",
    "exports.runtimes",
    "exports.standalone",
)
_HEAD = '''"""Predicts images with the exported model in this folder.

    python predict.py leaf.jpg images/
    python predict.py --json images/

It needs NumPy, OpenCV, Pillow and the runtime of the model (requirements.txt). Seedlings composed
it of the modules that its own pipeline runs, so the preprocessing is that of training.
"""
# SPDX-License-Identifier: Apache-2.0
'''
SERVER = (
    "serving.base64_files",
    "serving.http_requests",
    "serving.http_server",
    "exports.server",
)
_SERVER_HEAD = '''"""Serves the exported model in this folder over HTTP.

    python server.py --port 8000
    curl -F file=@leaf.jpg http://127.0.0.1:8000/predict

It needs predict.py beside it, and the packages in requirements-server.txt. Seedlings composed it of
the modules of its own server.
"""
# SPDX-License-Identifier: Apache-2.0
'''


def predict() -> str:
    """Return the source of `predict.py`, the command in `standalone`."""
    return (
        compose(_HEAD, PREDICT)
        + f'\n\nif __name__ == "__main__":\n    {standalone.main.__name__}()\n'
    )


def server() -> str:
    """Return the source of `server.py`, which imports from `predict.py`."""
    return compose(_SERVER_HEAD, SERVER, dict.fromkeys(PREDICT, "predict"))


def compose(head: str, modules: Sequence[str], others: Mapping[str, str] | None = None) -> str:
    """Return one source for some modules of Seedlings, in this order, that begins with `head`.

    `others` are further modules, and the name of the script from which their names are imported.
    Raises ValueError if a module imports another one in another way, or defines a name again.
    """
    others = others or {}
    plain: set[str] = set()
    names: dict[str, set[str]] = {}
    defined: dict[str, str] = {}
    parts = []
    for module in modules:
        source = (_LIBRARY / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        tree = ast.parse(source)
        left_out = [node for node in tree.body if _is_left_out(node)]
        for node in left_out:
            if isinstance(node, ast.Import):
                plain.update(ast.unparse(alias) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                home = _home(node, modules, others, module)
                if home:
                    names.setdefault(home, set()).update(map(ast.unparse, node.names))
        for name in _defined(tree):
            if defined.setdefault(name, module) != module:
                raise ValueError(f"{module}: {name} is defined in {defined[name]}, too")
        parts.append(_section(module, source, left_out))
    return head + _imports(plain, names) + "".join(parts)


def _is_left_out(node: ast.stmt) -> bool:
    """Return whether a statement is an import, one for types alone, or the docstring."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or isinstance(node, ast.Import | ast.ImportFrom)


def _home(
    node: ast.ImportFrom, modules: Sequence[str], others: Mapping[str, str], module: str
) -> str | None:
    """Return the module from which the script imports names, or None if it contains them."""
    home = node.module or ""
    if home.partition(".")[0] != _LIBRARY.name:
        return home
    inner = home.removeprefix(f"{_LIBRARY.name}.")
    if any(alias.asname for alias in node.names) or inner not in (*modules, *others):
        raise ValueError(f"{module}: cannot compose `{ast.unparse(node)}` into a script")
    return others.get(inner)


def _defined(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module defines at its top level."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def _section(module: str, source: str, left_out: Sequence[ast.stmt]) -> str:
    """Return the source of a module without some statements, below its name."""
    dropped = {line for node in left_out for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    lines = source.splitlines()
    kept = [line for number, line in enumerate(lines, 1) if number not in dropped]
    body = "\n".join(kept).strip()
    return f"\n\n# {_LIBRARY.name}/{module.replace('.', '/')}.py\n\n\n{body}\n"


def _imports(plain: set[str], names: Mapping[str, set[str]]) -> str:
    """Return the imports, those of the standard library first."""
    found = {name.partition(" ")[0]: f"import {name}" for name in plain}
    lines = [(found[name], name) for name in sorted(found)]
    for home in sorted(names):
        listed = ", ".join(sorted(names[home] - {"TYPE_CHECKING"}))
        if listed:
            lines.append((f"from {home} import {listed}", home))
    standard = [x for x, home in lines if home.partition(".")[0] in sys.stdlib_module_names]
    others = [x for x, home in lines if home.partition(".")[0] not in sys.stdlib_module_names]
    return "\n" + "\n".join([*standard, "", *others]) + "\n"
