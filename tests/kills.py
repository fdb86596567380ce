"""Kills: a function that is killed at one of its file operations, in a process of its own."""

import builtins
import io
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_EVENTS = {"open", "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir"}


def completes(function: Callable[[], Any], folder: Path, number: int) -> bool:
    """Whether a function completes that is killed before its n-th file operation in a folder.

    Operations are: to open, write, flush, rename and remove a file; to make and remove a folder.
    A write is two operations, so that a kill leaves half of it. No `finally` runs after a kill.
    """
    child = os.fork()
    if child == 0:
        try:
            _kill_at(number, str(folder))
            function()
        except BaseException:  # noqa: BLE001 - the test's own code must not go on here
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), code
    return code == 0


def _kill_at(number: int, folder: str) -> None:
    """End this process before its n-th file operation from now on."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if done == number:
            os._exit(9)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _EVENTS and not isinstance(arguments[0], int):
            path = os.fsdecode(arguments[0])
            if path.startswith(folder) or not os.path.isabs(path):  # noqa: PTH117 - a string
                step()

    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            step()
            written = super().write(bytes(data)[: max(1, len(data) // 2)])
            step()
            return written

    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if "w" not in mode:
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        binary = io.BufferedWriter(Raw(file, "w"))
        return binary if "b" in mode else io.TextIOWrapper(binary, encoding, errors, newline)

    def flush(file: int) -> None:
        step()
        fsync(file)

    real, fsync = io.open, os.fsync
    io.open, builtins.open, os.fsync = opened, opened, flush  # type: ignore[assignment]
    sys.addaudithook(hook)
