"""The identity of a process: its code, packages and processor."""

import importlib.metadata
import platform
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seedlings import processor
from seedlings.io.parts import digest

_LIBRARY = Path(__file__).parents[1]
_SHOWN = 3
Digests = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a process has: its code, Python, packages and processor."""

    host: str
    processor: str
    python: str
    packages: Mapping[str, str | None]  # version by name; None if it is not installed
    code: Digests  # digest of each file of the library, now
    loaded: Digests  # the same when the process started: what it has imported
    settings: Mapping[str, str | None]  # of the processor: processor.current

    @property
    def is_stale(self) -> bool:
        """Return whether the code has changed since the process started."""
        return self.code != self.loaded


def code() -> dict[str, str]:
    """Return the digest of each file of the library, by its path below the library."""
    return {
        path.relative_to(_LIBRARY).as_posix(): digest(path.read_bytes())
        for path in sorted(_LIBRARY.rglob("*.py"))
    }


def locked() -> list[str]:
    """Return the names of the packages on which results may depend, sorted.

    They are the packages in requirements.lock beside the library; without that file, the packages
    that the library requires itself.
    """
    lock = _LIBRARY.parent / "requirements.lock"
    if lock.is_file():
        lines = lock.read_text(encoding="utf-8").splitlines()
    else:
        lines = importlib.metadata.requires("seedlings") or []
    return sorted({m[0] for line in lines if (m := re.match(r"[A-Za-z0-9][\w.-]*", line))})


def identify(packages: Sequence[str], loaded: Digests) -> Identity:
    """Return the identity of this process, with the versions of some packages."""
    return Identity(
        host=socket.gethostname(),
        processor=processor.name(),
        python=platform.python_version(),
        packages={name: _version(name) for name in packages},
        code=code(),
        loaded=loaded,
        settings=processor.current(),
    )


def differences(here: Identity, there: Identity) -> list[str]:
    """Return how a worker differs from this process in a way that may change results."""
    found = []
    if here.python != there.python:
        found.append(f"Python {there.python} (here {here.python})")
    for name, version in here.packages.items():
        other = there.packages.get(name)
        if other != version:
            found.append(f"{name} {other or 'missing'} (here {version or 'missing'})")
    files = sorted({*here.code.items()} ^ {*there.code.items()})
    names = list(dict.fromkeys(f"seedlings/{name}" for name, _ in files))
    if names:
        found.append(f"other code in {_listed(names)}")
    return found


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more files" if more > 0 else "")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
