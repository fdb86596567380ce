"""Which of the project's own modules a script imports, directly or not, read from the source."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]


def closure(script: Path) -> set[str]:
    """The library files that a script needs, as paths from the project's root."""
    found: set[str] = set()
    waiting = [script]
    while waiting:
        for module in _own_imports(waiting.pop()):
            name = module.relative_to(ROOT).as_posix()
            if name not in found:
                found.add(name)
                waiting.append(module)
    return found


def _own_imports(path: Path) -> set[Path]:
    files = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] == "seedlings":
                files |= {ROOT / "seedlings" / "__init__.py", *_file_of(name)}
    return files


def _file_of(module: str) -> list[Path]:
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return [path] if path.is_file() else []
