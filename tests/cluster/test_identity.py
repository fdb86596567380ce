import dataclasses
from pathlib import Path

import pytest

from seedlings.cluster import identity
from seedlings.io.parts import digest

HERE = identity.Identity(
    python="3.11.2",
    packages={"numpy": "2.4.0", "keras": None},
    code={"a.py": "1"},
    loaded={"a.py": "1"},
    processor="A",
    settings={"SETTING": None},
)


def test_equal_identities_do_not_differ_whatever_their_processor() -> None:
    other = dataclasses.replace(HERE, processor="B")
    assert identity.differences(HERE, other) == identity.outdated(HERE, other) == []


def test_each_difference_is_named() -> None:
    there = dataclasses.replace(
        HERE, python="3.12.1", packages={"keras": "3.15.0"}, code={"a.py": "2", "b.py": "3"}
    )
    assert identity.differences(HERE, there) == [
        "Python 3.12.1 (here 3.11.2)",
        "numpy missing (here 2.4.0)",
        "keras 3.15.0 (here missing)",
        "other code in seedlings/a.py, seedlings/b.py",
    ]
    many = dataclasses.replace(HERE, code={f"{n}.py": "" for n in range(5)} | {"a.py": "1"})
    assert identity.differences(HERE, many) == [
        "other code in seedlings/0.py, seedlings/1.py, seedlings/2.py and 2 more files"
    ]


def test_what_a_restart_changes_is_named() -> None:
    there = dataclasses.replace(HERE, loaded={}, settings={"SETTING": "x"})
    code, setting = identity.outdated(HERE, there)
    assert code == "its code has changed since it started"
    assert "here (SETTING unset), found SETTING x; start the worker with a nanny" in setting


def test_the_code_is_every_module_of_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "_LIBRARY", tmp_path)
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "module.py").write_bytes(b"1")
    (tmp_path / "room" / "page.html").write_bytes(b"2")
    assert identity.code() == {"room/module.py": digest(b"1")}


def test_the_packages_are_those_of_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {"numpy", "tensorflow", "bcolz-zipline"} <= {*identity.locked()}
    versions = identity.identify(["numpy", "no-such-package"]).packages
    assert versions["no-such-package"] is None
    assert versions["numpy"][0].isdigit()
    monkeypatch.setattr(identity, "_LIBRARY", tmp_path / "seedlings")
    (tmp_path / "requirements.lock").write_text("# by\none==1 \\\n    --hash=x\ntwo[x]==2\n")
    assert identity.locked() == ["one", "two"]
