"""The leader of a process group: it runs a command, and ends the group if it is told to.

It is a program of its own, which imports the standard library alone.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

_PDEATHSIG = 1  # PR_SET_PDEATHSIG, see prctl(2)


def lead(parent: int, command: Sequence[str]) -> int:
    """Run a command as the leader of its group; return its exit code.

    End the group, with this process, once the process `parent` has ended or the command is killed.
    """

    def end(*_: object) -> None:
        os.killpg(0, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end)
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it had ended before
        end()
    code = subprocess.call(command)
    if code < 0:
        end()
    return code


if __name__ == "__main__":
    sys.exit(lead(int(sys.argv[1]), sys.argv[2:]))
