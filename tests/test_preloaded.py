"""Processes that a server forks behave as ordinary ones do.

That the pipeline's outputs are the same is tested by tracking/test_sync.py, where ordinary
processes rebuild what forked ones made.
"""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import preloaded
import pytest
from project import Project

from seedlings.processor import SETTINGS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not preloaded.is_on(), reason="processes are ordinary here"),
]
WHICH = """
import os, sys
print("tensorflow" in sys.modules, sys.argv[1:], os.getcwd() == sys.path[0], os.environ.get("MORE"))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "stages").mkdir()
    return Project(tmp_path)


def run(project: Project, code: str, *arguments: str, **options: Any) -> tuple[int, str, str]:
    """Run some code as a stage; returns its exit code and what it printed, also to stderr."""
    (project.root / "stages" / "some.py").write_text(code, encoding="utf-8")
    command = ["python", "-m", "stages.some", *arguments]
    options = {"env": project.env, "capture_output": True, "text": True, **options}
    done = subprocess.run(command, cwd=project.root, check=False, **options)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "print('said')",
        "import sys; print(sys.stdin.read().upper()); print('told', file=sys.stderr)",
        "import sys; sys.exit('told')",
        "import sys; sys.exit(3)",
        "import sys; sys.exit(256 + 7)",
        "import atexit; atexit.register(print, 'at the end')\ndef f(): 1 / 0\nf()",
        "import os; os.write(1, b'said'); os._exit(5)",
        "import os; os.kill(os.getpid(), 9)",
        "import os; os.kill(os.getpid(), 15)",
        "import missing",
        "import threading; threading.Timer(0.2, print, ['from a thread']).start()",
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1)'])",
        "import __main__, sys; print(__main__.__file__, __spec__.name, sys.orig_argv[1:])",
        "import os; print(sorted(set(os.environ) & {'PWD', 'OLDPWD', '_', 'SHLVL', 'LC_CTYPE'}))",
        "import os; print(oct(os.umask(0)), os.getcwd(), open('stages/some.py').read())",
        "import stages, seedlings.files; print(stages.__path__, __file__)",
    ],
)
def test_a_forked_process_ends_and_prints_as_an_ordinary_one(code: str, project: Project) -> None:
    forked = run(project, code, "a", "b c", input="typed")
    project.preloaded = False
    assert forked == run(project, code, "a", "b c", input="typed")


@pytest.mark.parametrize(
    "command",
    [
        ["python", "-m", "stages.none"],
        ["dvc", "status"],
        ["dvc", "nonsense"],
        ["seedlings", "summary"],
        ["seedlings", "--help"],
        ["seedlings", "nonsense"],
    ],
)
def test_a_forked_command_ends_and_prints_as_an_ordinary_one(
    command: list[str], project: Project
) -> None:
    def ended() -> tuple[int, str, str]:
        done = subprocess.run(
            command, cwd=project.root, env=project.env, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    forked = ended()
    project.preloaded = False
    assert forked == ended()


def test_only_what_the_libraries_suit_is_forked(project: Project) -> None:
    own = {**project.env, "MORE": "1"}
    assert run(project, WHICH, "a", env=own)[1] == "True ['a'] True 1\n"
    for name in (
        "TF_DETERMINISTIC_OPS",
        "OMP_NUM_THREADS",
        "MLFLOW_LOGGING_LEVEL",
        "PYTHONHASHSEED",
    ):
        assert run(project, WHICH, env={**project.env, name: "1"})[1].startswith("False"), name
    lower = "ulimit -f 1000 && exec python -m stages.some"
    done = subprocess.run(
        ["sh", "-c", lower], cwd=project.root, env=project.env, capture_output=True, text=True
    )
    assert done.stdout.startswith("False")
    project.preloaded = False
    assert run(project, WHICH)[1].startswith("False")


def test_a_stage_of_a_project_that_is_not_portable_is_not_forked(project: Project) -> None:
    settings = "import os, sys; print('tensorflow' in sys.modules, os.environ.get({!r}))"
    [name, *_] = SETTINGS
    code = settings.format(name)
    params = project.root / "params.yaml"
    params.write_text("portable: true  # a comment\n", encoding="utf-8")
    assert run(project, code)[1] == f"True {SETTINGS[name]}\n"
    params.write_text("portable: false  # a comment\n", encoding="utf-8")
    assert run(project, code)[1] == "False None\n"


def test_two_processes_draw_different_numbers(project: Project) -> None:
    code = (
        "import random, uuid, numpy as np; print(random.random(), np.random.rand(), uuid.uuid4())"
    )
    first, second = (run(project, code)[1].split() for _ in range(2))
    assert not set(first) & set(second)


def test_a_process_ends_with_the_one_that_asked_for_it(project: Project) -> None:
    code = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\n"
    code += "while True: time.sleep(1)"
    (project.root / "stages" / "some.py").write_text(code, encoding="utf-8")
    command = ["python", "-m", "stages.some"]
    asking = subprocess.Popen(command, cwd=project.root, env=project.env)
    noted = project.root / "pid"
    while not (noted.exists() and noted.read_text()):
        time.sleep(0.01)
    asking.send_signal(signal.SIGKILL)
    asking.wait()
    while is_alive(int(noted.read_text())):
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
