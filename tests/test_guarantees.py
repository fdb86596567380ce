"""The page of the guarantees names tests that exist."""

import ast
import re

from imports import ROOT


def names(module: str) -> set[str]:
    """The functions of a test module; none if there is no such file."""
    path = ROOT / module
    tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_guarantee_has_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| .+ \| (.+) \|$", page)
    tests = [row for row in rows if row not in ("test", "---")]
    assert tests
    missing = []
    for test in tests:
        match = re.fullmatch(r"`(tests/\S+\.py)::(test_\w+)`", test)
        if match is None or match[2] not in names(match[1]):
            missing.append(test)
    assert missing == []
