"""Checks that this Python can install the locked packages, before minutes of work.

`make` calls it by the Python it is given, of any version, and before any package is installed.
"""

from __future__ import annotations  # Python 3.8 and 3.9 read this file, too

import os
import platform
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
# Where bcolz-zipline 1.13 has wheels, which end with Python 3.12; elsewhere it is compiled.
_WITH_WHEELS = (
    ("Darwin", "arm64"),
    ("Darwin", "x86_64"),
    ("Linux", "x86_64"),
    ("Windows", "AMD64"),
)


def missing(version: tuple[int, int], system: str, machine: str, include: str) -> str | None:
    """Return what this machine lacks for a version of Python, or None.

    `include` is the folder of Python's headers.
    """
    found = "{}.{}".format(*version)
    if not OLDEST <= version <= NEWEST:
        wanted = "{}.{} to {}.{}".format(*OLDEST, *NEWEST)
        return (
            f"expected Python {wanted}, found {found}; name one with: make PYTHON=python3.13 TARGET"
        )
    if version <= (3, 12) and (system, machine) in _WITH_WHEELS:
        return None
    error = _compile("#include <Python.h>\n", include)
    if error is None:
        return None
    return (
        "expected a C compiler and the headers of Python, because bcolz-zipline has no wheel for "
        f"Python {found} on {system} {machine} and is compiled; found: {error}; "
        "on Debian, install them with: apt-get install gcc python3-dev"
    )


def _compile(source: str, include: str) -> str | None:
    """Return the first error of compiling C, or None."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "probe.c"
        file.write_text(source, encoding="utf-8")
        command = [*compiler, "-I", include, "-c", str(file), "-o", str(file.with_suffix(".o"))]
        in_english = {**os.environ, "LC_ALL": "C"}
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, env=in_english)
        except OSError as error:
            return f"{compiler[0]}: {error.strerror}"
        except subprocess.CalledProcessError as error:
            errors = re.findall(r"error: (.*)", error.stderr)
            return errors[0] if errors else f"{compiler[0]} exited with {error.returncode}"
    return None


if __name__ == "__main__":
    sys.exit(
        missing(
            sys.version_info[:2],
            platform.system(),
            platform.machine(),
            sysconfig.get_path("include"),
        )
    )
