"""Mutations: forty seeded changes of the library, and how many of them its unit tests catch.

    python -m benchmarks.mutations                     # list them
    python -m benchmarks.mutations run [REVISION ...]  # run them, on the working tree or revisions

A mutation changes one operator, constant or branch. Its line is in the revision `BEFORE` and in the
working tree, once each, so that both test suites can be compared on the same mutations.
"""

import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEFORE = "d90b3c2"
COUNT, SEED = 40, 11
SWAPPED = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    " in ": " not in ",
    "+": "-",
    "-": "+",
    "*": "/",
    "/": "*",
    "//": "*",
    " and ": " or ",
    " or ": " and ",
}
PIPELINES = ("repro", "survival", "systems", "sync", "team_server", "browser", "serving", "server")
LEFT_OUT = ("cli", "run.py", "tracking", "serving/demo")  # what the slow tests are for


@dataclass(frozen=True, slots=True)
class Mutation:
    """A line, and the line in its place, without their indentation."""

    line: str
    changed: str


def sources(root: Path) -> dict[str, list[str]]:
    """The lines of every module of a tree's library, by its path."""
    return {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8").splitlines()
        for path in sorted((root / "seedlings").rglob("*.py"))
    }


def spans(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The operands beside each operator of a node."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield node.left, node.comparators[0]
    elif isinstance(node, ast.BinOp):
        yield node.left, node.right
    elif isinstance(node, ast.BoolOp):
        yield node.values[0], node.values[1]


def changes(text: str) -> Iterator[tuple[int, str]]:
    """The changed lines of a module, each with its number from 0."""
    lines = text.splitlines()
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    for node in (inner for function in functions for inner in ast.walk(function)):
        for left, right in spans(node):
            if left.end_lineno == right.lineno:
                number, start, end = right.lineno - 1, left.end_col_offset or 0, right.col_offset
                between = lines[number][start:end]
                for old in sorted(SWAPPED, key=len, reverse=True):
                    if between.strip(" ()") == old.strip() and lines[number].isascii():
                        new = between.replace(old.strip(), SWAPPED[old].strip())
                        yield number, lines[number][:start] + new + lines[number][end:]
                        break
        if isinstance(node, ast.Constant) and type(node.value) in (bool, int):
            number, start, end = node.lineno - 1, node.col_offset, node.end_col_offset
            value = not node.value if isinstance(node.value, bool) else node.value + 1
            if lines[number].isascii():
                yield number, lines[number][:start] + str(value) + lines[number][end:]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            number, start = node.lineno - 1, node.col_offset
            yield number, lines[number][:start] + lines[number][start:].replace("not ", "", 1)


def clone(revision: str, folder: Path) -> Path:
    """A tree of a revision, or of the working tree where it is ""."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    if revision:
        subprocess.run(["git", "-C", str(folder), "checkout", "-q", revision], check=True)
    else:
        shutil.copytree(ROOT / "seedlings", folder / "seedlings", dirs_exist_ok=True)
        shutil.copytree(ROOT / "tests", folder / "tests", dirs_exist_ok=True)
    return folder


def chosen(before: Path) -> list[Mutation]:
    """The mutations, drawn from all lines that both trees have once."""
    counts = [
        Counter(line.strip() for lines in sources(root).values() for line in lines)
        for root in (before, ROOT)
    ]
    found = []
    for name, lines in sources(ROOT).items():
        if name.startswith(tuple(f"seedlings/{part}" for part in LEFT_OUT)):
            continue
        for number, changed in changes("\n".join(lines)):
            line = lines[number].strip()
            if all(count[line] == 1 for count in counts) and changed.strip() != line:
                found.append(Mutation(line, changed.strip()))
    unique = sorted(set(found), key=lambda mutation: (mutation.line, mutation.changed))
    return random.Random(SEED).sample(unique, COUNT)


def place(mutation: Mutation, root: Path) -> tuple[str, int]:
    """The module and the number of a mutation's line in a tree."""
    return next(
        (name, number)
        for name, lines in sources(root).items()
        for number, line in enumerate(lines)
        if line.strip() == mutation.line
    )


def tests_of(module: str, root: Path) -> list[str]:
    """The test files that import a module: its own first, at most four."""
    stem, room = Path(module).stem, Path(module).parent.name
    found = []
    for path in sorted((root / "tests").rglob("test_*.py")):
        if path.parent.name == "pipeline" or path.stem.removeprefix("test_") in PIPELINES:
            continue
        text = path.read_text(encoding="utf-8")
        own = path.stem == f"test_{stem}" and path.parent.name in (room, "tests")
        imported = any(
            stem in line.replace(",", " ").replace(".", " ").split()
            for line in text.splitlines()
            if "seedlings" in line and "import" in line
        )
        if own or imported:
            found.append((not own, path.stat().st_size, str(path)))
    return [path for _, _, path in sorted(found)[:4]]


def is_caught(mutation: Mutation, root: Path) -> bool:
    """Whether a unit test fails in a tree with the mutation, which is undone afterwards."""
    module, number = place(mutation, root)
    path = root / module
    kept = path.read_text(encoding="utf-8")
    lines = kept.splitlines(keepends=True)
    lines[number] = lines[number].replace(mutation.line, mutation.changed)
    path.write_text("".join(lines), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    env = {**os.environ, "PYTHONPATH": str(root), "PRELOADED": "0"}
    done = subprocess.run(
        [*command, *tests_of(module, root)], cwd=root, env=env, capture_output=True, check=False
    )
    path.write_text(kept, encoding="utf-8")
    return done.returncode != 0


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        before = clone(BEFORE, Path(name) / "before")
        mutations = chosen(before)
        if sys.argv[1:2] != ["run"]:
            for mutation in mutations:
                module, number = place(mutation, ROOT)
                print(f"{module}:{number + 1}\n  - {mutation.line}\n  + {mutation.changed}")
            return
        for place_in_list, revision in enumerate(sys.argv[2:] or [""]):
            root = clone(revision, Path(name) / str(place_in_list))
            caught = []
            for mutation in mutations:
                caught.append(is_caught(mutation, root))
                verdict = "caught  " if caught[-1] else "SURVIVES"
                print(f"{verdict} {place(mutation, root)[0]}: {mutation.changed}", flush=True)
            print(f"{revision or 'the working tree'}: {sum(caught)} of {len(caught)} are caught")


if __name__ == "__main__":
    main()
