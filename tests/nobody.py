"""Code that runs as a user who may not read what is closed, also where the tests run as root."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NOBODY = 65534
_DROP = f"""
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid({_NOBODY}, {_NOBODY}, {_NOBODY})
    os.setresuid({_NOBODY}, {_NOBODY}, {_NOBODY})
"""


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder of that user's, where all above it is open to everyone."""
    with tempfile.TemporaryDirectory() as name:
        if os.getuid() == 0:
            os.chown(name, _NOBODY, _NOBODY)
        yield Path(name)


def answer(imports: str, expression: str, **values: str) -> Any:
    """What an expression gives, as JSON, to that user; imports come before the change of user."""
    code = f"import json, os, sys\nfrom pathlib import Path\n{imports}\n{_DROP}"
    code += f"given = json.loads(sys.argv[1])\nprint(json.dumps({expression}))"
    command = [sys.executable, "-c", code, json.dumps(values)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)
