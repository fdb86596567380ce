"""Which modules of the library a file imports, directly or not, read from the source.

Imports for a type alone (below `if TYPE_CHECKING:`) do not count; those inside functions do, and so
do the evaluators, which the tasks name and one module loads.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from seedlings.tasks import TASKS

ROOT = Path(__file__).parents[1]
LOADS_EVALUATORS = ROOT / "seedlings" / "evaluation" / "evaluators.py"


def closure(*files: Path) -> set[Path]:
    """The library's files that some files need, without those files, as absolute paths."""
    found: set[Path] = set()
    waiting = [*files]
    while waiting:
        for module in direct(waiting.pop()):
            if module not in found:
                found.add(module)
                waiting.append(module)
    return found


@cache
def direct(path: Path) -> frozenset[Path]:
    """The library's files that one file imports itself, with the packages that they are in."""
    names = set(_names(ast.parse(path.read_text(encoding="utf-8"))))
    if path == LOADS_EVALUATORS:
        names |= {task.evaluator.partition(":")[0] for task in TASKS.values()}
    own = {name for name in names if name.split(".")[0] == "seedlings"}
    packages = {".".join(n.split(".")[:end]) for n in own for end in range(1, n.count(".") + 1)}
    return frozenset(file for name in own | packages if (file := _file_of(name)))


def room(path: Path) -> str:
    """The room of a library's file, or the file itself where it is a plain module."""
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[:2])


def _names(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        yield from _names(child)


def _file_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)
