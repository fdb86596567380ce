"""The check of Python that `make` runs before it installs anything."""

import importlib.util
import platform
import shlex
import shutil
import sys
import sysconfig
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from imports import ROOT

HEADERS = sysconfig.get_path("include")
NO_WHEELS = ((3, 13), "Linux", "x86_64")
COMPILER = shlex.split(sysconfig.get_config_var("CC"))[0]
compiles = pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"needs {COMPILER}")


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check", ROOT / "tools" / "check_python.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (4, 0)])
def test_another_version_of_python_is_refused(check: ModuleType, version: tuple[int, int]) -> None:
    message = check.missing(version, "Linux", "x86_64", HEADERS)
    found = "{}.{}".format(*version)
    assert message.startswith(f"expected Python 3.11 to 3.13, found {found}; name one with: make")


@pytest.mark.parametrize(
    ("version", "system", "machine", "is_compiled"),
    [
        ((3, 11), "Linux", "x86_64", False),
        ((3, 12), "Linux", "x86_64", False),
        ((3, 12), "Darwin", "arm64", False),
        ((3, 13), "Linux", "x86_64", True),
        ((3, 13), "Darwin", "arm64", True),
        ((3, 11), "Linux", "aarch64", True),
    ],
)
def test_a_compiler_is_needed_where_bcolz_has_no_wheel(
    check: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int],
    system: str,
    machine: str,
    is_compiled: bool,
) -> None:
    monkeypatch.setenv("CC", "/absent/cc")
    message = check.missing(version, system, machine, HEADERS)
    assert (message is not None) == is_compiled
    if is_compiled:
        where = f"no wheel for Python {version[0]}.{version[1]} on {system} {machine}"
        assert where in message
        assert "found: /absent/cc: No such file or directory" in message
        assert "apt-get install gcc python3-dev" in message


@compiles
def test_missing_headers_are_named(check: ModuleType, tmp_path: Path) -> None:
    message = check.missing(*NO_WHEELS, str(tmp_path))
    assert "found: Python.h: No such file or directory; on Debian" in message


@compiles
def test_a_compiler_with_headers_is_accepted(check: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "Python.h").write_text("#include <stdio.h>\n")
    assert check.missing(*NO_WHEELS, str(tmp_path)) is None


def test_the_bounds_are_those_of_the_package_and_each_version_is_tested(check: ModuleType) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (major, oldest), (_, newest) = check.OLDEST, check.NEWEST
    assert project["requires-python"] == f">={major}.{oldest},<{major}.{newest + 1}"
    versions = [f"{major}.{minor}" for minor in range(oldest, newest + 1)]
    prefix = "Programming Language :: Python :: 3."
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if line.startswith(prefix)]
    assert named == versions
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == versions


def test_this_python_is_accepted(check: ModuleType) -> None:
    assert (
        check.missing(sys.version_info[:2], platform.system(), platform.machine(), HEADERS) is None
    )
