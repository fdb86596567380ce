"""Texts of a search in Git."""

from pathlib import Path

import pytest
import searches

from seedlings.search import refs


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches.repository(tmp_path, monkeypatch)


def test_texts_are_those_of_one_search() -> None:
    assert refs.read("head") == {}
    refs.write("head", "origin", '{"seed": 1}')
    refs.write("head", "0001", "first\nsecond")
    refs.write("head", "0001", "third\nä")
    refs.write("head-2", "0001", "another")
    refs.write("he", "0001", "yet another")
    assert refs.read("head") == {"origin": '{"seed": 1}', "0001": "third\nä"}
