"""YAML: every reader finds the values that were written, and values are those that DVC reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import dumps_yaml, loads_yaml, parse_yaml, parse_yaml_for_update
from ruamel.yaml import YAML

from seedlings.config import yaml_files
from seedlings.errors import SeedlingsError

TEXT = "data:\n  path: data/incoming  # the file or folder\n  url: null\n"
READERS: dict[str, Callable[[str], Any]] = {
    "YAML 1.1": yaml.safe_load,
    "Seedlings": yaml_files.parse,
    "DVC": lambda text: parse_yaml(text, "params.yaml"),
    "DVC, to write it": lambda text: parse_yaml_for_update(text, "params.yaml"),
}
NUMBERS = "1_000 0x1F 1e3 1E-3 1.0 .5 1. 017 0o17 0b1 1:30 1:30.5 2024 +1 -1 0 .inf -.Inf .nan"
WORDS = "null Null ~ true TRUE on off yes No y N = << 2024-01-01 1e e1 0x _1 1__ NaN"
MARKS = "' \" \\ a\\ # #1 & &a * ! ? - : , ; [ ] { } | > ` @ @a % %x --- ... 'a' \"a\" [a]"
PHRASES = (
    *("", " ", " a", "a ", "a: b", "a #b", "a:", ": a", "- a", "? a", "--- a", "a\\nb", "it's: #1"),
    *("été", "图片", "e\u0301", "😀", "a\xa0b", "a\u2028b", "\ufeffa", "a\u200fb", "\ufffe"),
    *("\t", "a\tb", "\n", "a\n", "\na", "a\nb\n", "\r", "a\x85b", "\x00", "\x7f", "\U0010ffff"),
    *("/mnt/${HOME}", "{{a}}", "a b " * 2000),
)


@pytest.mark.parametrize(
    "value", [*NUMBERS.split(), *WORDS.split(), *MARKS.split(), "{a: b}", *PHRASES], ids=ascii
)
def test_every_reader_finds_the_text_that_was_written(value: str) -> None:
    expected = {"data": {"path": value, "url": value}, "added": {value: 1}}
    text = yaml_files.edit(TEXT, expected)
    for reader, read in READERS.items():
        assert read(text) == expected, reader
    assert "# the file or folder" in text


def test_a_text_is_written_without_quotes_where_every_reader_takes_it_for_text() -> None:
    for value in ("digits", "/mnt/my images (1)", "/mnt/été", "https://example.org/a.zip?dl=1"):
        assert f"  path: {value}" in yaml_files.edit(TEXT, {"data": {"path": value}})


def test_what_dvc_writes_in_this_process_remains_its_own() -> None:
    yaml_files.edit(TEXT, {"data": {"path": "on"}})
    assert dumps_yaml({"a": "on", "b": None}) == "a: on\nb:\n"


def test_other_values_are_written_as_every_reader_takes_them() -> None:
    values = {"rate": 1e-9, "url": None, "pixels": [96, 96]}
    text = yaml_files.edit("rate: 1.0\nurl: x\npixels: null\n", values)
    assert text == "rate: 1.0e-09\nurl:\npixels:\n- 96\n- 96\n"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1:30", "1:30"),  # 90 in YAML 1.1
        ("1:30.5", "1:30.5"),
        ("017", 17),  # 15 in YAML 1.1
        ("0o17", 15),
        ("0x1F", 31),
        ("-0b11", -3),
        ("1_000", 1000),
        ("1e3", 1000.0),
        ("-1E-3", -0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e", "1e"),
        ("tRUE", "tRUE"),
        ("TRUE", True),
        ("on", "on"),  # true in YAML 1.1
    ],
)
def test_values_are_what_dvc_reads(written: str, value: float | str) -> None:
    text = f"a: {written}"
    found = yaml_files.parse(text)
    assert found == {"a": value} == loads_yaml(text)
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1", r"^not valid YAML: expected ',' or '\]', but got .* \(line 1, column 3\)$"),
        ("a: 1\na: 2", r"duplicate key \"a\".* \(line 2, column 1\)$"),
        ("*a", "undefined alias 'a'"),
        ("2024-99-99", "month must be in 1..12"),
        ("!!python/object:a", "could not determine a constructor"),
        ("=", "could not determine a constructor"),
        ("\0", "unacceptable character"),
        ("[" * 600, "recursion"),
        ("# a\n%YAML 1.1\n---\na: on", "expected no directive %YAML"),
    ],
)
def test_what_is_not_yaml_is_refused(text: str, message: str) -> None:
    with pytest.raises(SeedlingsError, match=message):
        yaml_files.parse(text)


def test_a_file_that_is_missing_or_not_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "base.yaml"
    with pytest.raises(SeedlingsError, match=r"expected .*base\.yaml in .*, found none"):
        yaml_files.read(path)
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(SeedlingsError, match=r"base\.yaml: not valid YAML"):
        yaml_files.read(path)
    path.write_bytes(b"a: \xe9")
    with pytest.raises(SeedlingsError, match=r"base\.yaml: .*can't decode byte 0xe9"):
        yaml_files.read(path)


def test_a_tree_that_is_written_is_what_every_reader_finds() -> None:
    texts = ["on", "1_000", "1:30", "null", "", "- a", "a: b # c", "'\"", "été 玉米", "x " * 200]
    tree = {"texts": texts, "numbers": [0.918918918918919, 1e-07, -3, 7.2e-43], "none": None}
    written = yaml_files.dump(tree)
    assert all(read(written) == tree for read in READERS.values())
    assert len(written.splitlines()) == 3 + len(texts) + len(tree["numbers"])


def test_the_parser_of_dvc_is_the_fast_one() -> None:
    """Its parser in Python takes a seventh of the time of `dvc exp run`."""
    assert YAML(typ="safe").Parser is not YAML(typ="safe", pure=True).Parser
