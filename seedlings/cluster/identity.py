"""The identity of a process: its code, packages and processor."""

import importlib.metadata
import platform
import re
from collections.abc import Iterable, Mapping
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

    python: str
    packages: Mapping[str, str | None]  # version by name; None if it is not installed
    code: Digests  # digest of each file of the library, now
    loaded: Digests  # the same when the process started: what it has imported
    processor: str
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


_LOADED = code()


def identify(packages: Iterable[str]) -> Identity:
    """Return the identity of this process, with the versions of some packages."""
    return Identity(
        python=platform.python_version(),
        packages={name: _version(name) for name in packages},
        code=code(),
        loaded=_LOADED,
        processor=processor.name(),
        settings=processor.current(),
    )


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


def differences(here: Identity, there: Identity) -> list[str]:
    """Return how a worker differs from the client in a way that no restart of it changes."""
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
        more = f" and {len(names) - _SHOWN} more files" if len(names) > _SHOWN else ""
        found.append(f"other code in {', '.join(names[:_SHOWN])}{more}")
    return found


def outdated(here: Identity, there: Identity) -> list[str]:
    """Return what a restart of a worker changes: its code, and its settings of the processor."""
    found = ["its code has changed since it started"] if there.is_stale else []
    if there.settings != here.settings:
        found.append(
            "expected the processor's settings of the parameter `portable` here "
            f"({_listed(here.settings)}), found {_listed(there.settings)}; start the worker with a "
            "nanny, or with the same environment"
        )
    return found


def _listed(settings: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {value or 'unset'}" for name, value in settings.items())


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
