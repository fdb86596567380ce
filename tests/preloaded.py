"""Processes of the tests that start from an interpreter with the large libraries in it.

`dvc repro` starts a process for each stage, and each would import TensorFlow, Keras, pandas and
MLflow anew. The server here imports them once and forks for each request; the child takes over the
caller's files, folder, environment and arguments, and imports the project's own modules from the
project's folder, as an ordinary process does.

Why it is safe to fork:

- The server imports libraries of others and runs none of their operations. TensorFlow starts its
  threads with its first operation; the server ends if it has a context by then, or a module of the
  project's.
- The threads that are there after the imports are three pools of OpenBLAS (those of NumPy, SciPy
  and OpenCV; a thread for each core but one), and the background threads of the jemalloc in
  PyArrow. Both end or reset them in handlers of fork (pthread_atfork), and start them again in the
  child at need. The server ends if there are more.
- `random` takes a new seed by itself in a child, and NumPy's global state is given one.

What is not taken, and runs as an ordinary process: other options of `python`, commands that serve
until they are killed, a request whose environment differs in a name that was read while the
libraries were imported (or may have been, in C), and a caller with another user, limit,
namespace or control group than the server has. Also stages of a project with `portable: false`: the
server's libraries have read the settings of the processor.

What differs from an ordinary process: its parent and its process group are not the caller's, files
above 2 that the caller has open are not there, and all processes of one server hash strings with
the same seed. Where its caller is killed, a process is killed with its group. A test that is about
processes itself sets `project.preloaded = False`; PRELOADED=0 turns it off for all.
"""

import array
import atexit
import gc
import importlib
import json
import marshal
import os
import re
import runpy
import selectors
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import preloaded_client

PROGRAMS = ("python", "dvc", "seedlings")
POOLS = 3  # of threads
DEFAULTS = {  # as the library sets them before its imports
    "KERAS_BACKEND": "tensorflow",
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
    "MLFLOW_DISABLE_TELEMETRY": os.environ.get("MLFLOW_DISABLE_TELEMETRY", "true"),
}
# The beginnings of names that libraries in C may read early, or that Python code looks through.
EARLY = (
    *("CUDA_", "DNNL_", "FSSPEC_", "GLIBC_", "GOTO_", "GRPC_", "KERAS_", "KMP_", "LC_", "LD_"),
    *("MALLOC_", "MKL_", "NPY_", "OMP_", "ONEDNN_", "OPENBLAS_", "OPENCV_", "PYTHON", "TF_"),
    *("TQDM_", "XLA_"),
)
LOOKS_THROUGH = "fsspec/config.py"  # reads all there is, for names that begin with FSSPEC_
# Read while libraries are imported, and without effect on what they are then.
HARMLESS = {"PATH", "PYTEST_CURRENT_TEST", "PYTHONPATH"}
LIBRARIES = (
    "numpy pandas scipy.stats scipy.optimize scipy.sparse.csgraph sklearn.metrics "
    "sklearn.utils.class_weight sklearn.datasets cv2 PIL.Image PIL.ImageDraw PIL.ImageOps "
    "imagehash bcolz h5py matplotlib.figure matplotlib.backends.backend_agg tensorflow keras "
    "mlflow mlflow.pyfunc mlflow.models mlflow.artifacts mlflow.types.schema "
    "mlflow.store.tracking.sqlalchemy_store mlflow.store.artifact.local_artifact_repo "
    "pydantic click jinja2 pooch requests yaml tqdm filelock dvc.cli "
    "dvc.cli.parser dvc.api dvc.repo dvc.repo.experiments dvc.repo.experiments.queue.celery "
    "dvc.repo.experiments.executor.local dvc.repo.plots dvc.repo.metrics dvc.commands.repro "
    "dvc_data.index "
)


def is_on() -> bool:
    """Whether processes are forked at all."""
    return sys.platform == "linux" and os.environ.get("PRELOADED") != "0"


def _shims() -> Iterator[Path | None]:
    """The folder of the programs that ask the server, which is started, and ended at the end."""
    if not is_on():
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="preloaded-"))
    address = folder / "socket"
    for name in PROGRAMS:
        given = (str(address), str(Path(sys.executable).parent / name))
        text = f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        text += f"from preloaded_client import main\nmain(*{given!r}, *sys.argv[1:])\n"
        (folder / name).write_text(f"#!{sys.executable} -IS\n{text}", encoding="utf-8")
        (folder / name).chmod(0o755)
    server = _start(folder, address)
    yield folder
    server.terminate()
    server.wait()
    shutil.rmtree(folder)


def _start(folder: Path, address: Path) -> subprocess.Popen[bytes]:
    """Start the server: it listens at once, answers when it has its libraries, ends with us."""
    from seedlings import processor  # which the server itself does not import

    left_out = {"PYTHONPATH", *processor.SETTINGS}
    own = {key: value for key, value in os.environ.items() if key not in left_out}
    settings = json.dumps(processor.SETTINGS)
    with (
        socket.socket(socket.AF_UNIX) as listener,
        (folder / "server.log").open("wb") as log,
    ):
        listener.bind(str(address))
        listener.listen(64)
        return subprocess.Popen(
            [sys.executable, __file__, str(listener.fileno()), str(folder / "python"), settings],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=own,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )


_started: list[Iterator[Path | None]] = []
_folder: list[Path | None] = []


def shims() -> Path | None:
    """The folder to put first on PATH, or None where processes are to be ordinary."""
    if not _started:
        _started.append(_shims())
        _folder.append(next(_started[0]))
        atexit.register(stop)
    return _folder[0]


def stop() -> None:
    """End the server, if there is one, with all it started."""
    if _started:
        next(_started.pop(), None)
        _folder.clear()


class _Recording(type(os.environ)):  # type: ignore[misc]
    """An os.environ that remembers which names were asked for."""

    names: set[str] = set()  # noqa: RUF012 - of the process, as os.environ is

    def __getitem__(self, key: str) -> str:
        code = sys._getframe(1).f_code
        if code.co_name != "__iter__" and not code.co_filename.endswith(LOOKS_THROUGH):
            self.names.add(os.fsdecode(key))
        return super().__getitem__(key)


@contextmanager
def _recorded() -> Iterator[set[str]]:
    """The names of the environment that are read meanwhile."""
    ordinary = type(os.environ)
    os.environ.__class__ = _Recording
    try:
        yield _Recording.names
    finally:
        os.environ.__class__ = ordinary


@dataclass
class _Libraries:
    """The imported libraries, and what may not differ where they are used."""

    read: set[str]
    values: list[dict[str, str]]  # the environment before the imports, and after them
    path: list[str]
    around: list[str]
    python: str  # the program that asks this server
    settings: dict[str, str]  # of the processor, which the libraries have read

    @classmethod
    def load(cls, python: str, settings: dict[str, str]) -> "_Libraries":
        del sys.path[0]  # this file's folder
        values = [dict(os.environ)]
        os.environ.update(DEFAULTS | settings)
        values.append(dict(os.environ))
        with _recorded() as read:
            for name in LIBRARIES.split():
                importlib.import_module(name)
        values.append(dict(os.environ))
        _check()
        gc.collect()
        gc.freeze()
        around = preloaded_client.surroundings()
        return cls(read - HARMLESS, values, list(sys.path), around, python, settings)

    def differing(self, request: "_Request") -> list[str]:
        """What keeps them from being as the requested process would have imported them."""
        wanted = {os.fsdecode(key): os.fsdecode(value) for key, value in request.env.items()}
        names = {*wanted, *self.values[0], *self.values[-1]}
        early = {name for name in names if name.startswith(EARLY)} - HARMLESS
        found = [
            name
            for name in sorted(self.read | early)
            if wanted.get(name) not in [values.get(name) for values in self.values]
        ]
        if wanted.get("PYTHONPATH") not in (None, *site.getsitepackages()):  # DVC's queue sets it
            found.append("PYTHONPATH")
        if request.is_python and not _is_portable(Path(request.cwd)):
            found.append("portable")
        pairs = zip(request.around, self.around, strict=True)
        return found + [f"{theirs} for {own}" for theirs, own in pairs if theirs != own]

    def added(self) -> dict[str, str]:
        """What the libraries themselves put into the environment."""
        before, after = self.values[1:]
        return {name: value for name, value in after.items() if before.get(name) != value}


def _is_portable(folder: Path) -> bool:
    """Whether the stages of a project have the settings of the processor."""
    path = folder / "params.yaml"
    return not (path.is_file() and re.search(r"(?m)^portable: false\b", path.read_text("utf-8")))


def _check() -> None:
    """End the server where it would not be safe to fork it."""
    from tensorflow.python.eager import context

    own = {name for name in sys.modules if name.split(".")[0] in ("seedlings", "stages")}
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    threads = [name for name in names if not name.startswith("jemalloc")]
    most = 1 + POOLS * (len(os.sched_getaffinity(0)) - 1)
    if own or len(threads) > most or context._context is not None:
        sys.exit(f"not safe to fork: {own}, {names}, {context._context}")


@dataclass
class _Request:
    """What a client asks for."""

    program: str
    arguments: list[str]
    cwd: str
    env: dict[bytes, bytes]
    mask: int
    around: list[str]
    files: list[int] = field(default_factory=list)

    @property
    def is_python(self) -> bool:
        return Path(self.program).name == "python"

    @classmethod
    def receive(cls, connection: socket.socket) -> "_Request | None":
        """What comes over a connection, or None where it breaks off."""
        header, ancillary, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(3 * 4))
        files = array.array("i")
        for _, _, data in ancillary:
            files.frombytes(data)
        message, size = b"", int.from_bytes(header, "big")
        while len(message) < size:
            part = connection.recv(size - len(message))
            if not part:
                break
            message += part
        if len(header) < 4 or len(message) < size or len(files) != 3:
            _close(files)
            return None
        return cls(*marshal.loads(message), files.tolist())


def _close(files: Any) -> None:
    for file in files:
        os.close(file)


@dataclass
class _Running:
    """A forked process, and the connection to the client that waits for it."""

    pid: int
    handle: int
    connection: socket.socket


class _Server:
    """Answers requests, each by a fork of itself, until its starter ends."""

    def __init__(self, listener: socket.socket, libraries: _Libraries) -> None:
        self._listener = listener
        self._libraries = libraries
        self._selector = selectors.DefaultSelector()
        self._running: list[_Running] = []

    def serve(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(0, selectors.EVENT_READ)
        try:
            while True:
                for key, _ in self._selector.select():
                    if key.fd == 0:
                        return
                    if key.data is None:
                        self._accept()
                    elif key.data in self._running:
                        self._look_after(key.data, ended=key.fd == key.data.handle)
        finally:
            for running in self._running:
                _kill(running)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            try:
                request = _Request.receive(connection)
            except OSError:
                request = None
            if request is None:
                return
            try:
                if differing := self._libraries.differing(request):
                    print("not forked, differs in", differing, file=sys.stderr)
                    connection.sendall(preloaded_client.ORDINARY)
                else:
                    self._fork(request, connection.dup())
            except BrokenPipeError:
                pass
            finally:
                _close(request.files)

    def _fork(self, request: _Request, connection: socket.socket) -> None:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.setpgid(0, 0)
            self._forget(connection)
            _become(request, self._libraries)
        with suppress(OSError):  # it has done so itself, or has ended
            os.setpgid(pid, pid)
        running = _Running(pid, os.pidfd_open(pid), connection)
        self._running.append(running)
        self._selector.register(running.handle, selectors.EVENT_READ, running)
        self._selector.register(connection, selectors.EVENT_READ, running)

    def _forget(self, connection: socket.socket) -> None:
        """Close in a child what is the server's."""
        self._selector.close()
        self._listener.close()
        connection.close()
        for running in self._running:
            running.connection.close()
            os.close(running.handle)

    def _look_after(self, running: _Running, *, ended: bool) -> None:
        """Tell the client that its process ended, or end the process of a client that did."""
        if not ended:
            self._selector.unregister(running.connection)
            _kill(running)
            return
        _, status = os.waitpid(running.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        told = f"signal {-code}" if code < 0 else f"exit {code}"
        with suppress(OSError):  # it is there no more
            running.connection.sendall(told.encode())
        for file in (running.handle, running.connection):
            if file in self._selector.get_map():
                self._selector.unregister(file)
        running.connection.close()
        os.close(running.handle)
        self._running.remove(running)


def _kill(running: _Running) -> None:
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)


def _become(request: _Request, libraries: _Libraries) -> NoReturn:
    """Be the requested process, in a child of the server's."""
    code = 1
    try:
        _take_over(request, libraries)
        code = _run(request)
    except BaseException:  # noqa: BLE001 - the child must not go on as a server
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _take_over(request: _Request, libraries: _Libraries) -> None:
    """Take the caller's files, folder, environment and arguments."""
    import numpy as np

    for number, file in enumerate(request.files):
        os.dup2(file, number)
    _close([file for file in request.files if file > 2])
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())
    os.umask(request.mask)
    os.chdir(request.cwd)
    os.environ.clear()
    os.environb.update(request.env)
    for name, value in libraries.added().items():
        os.environ.setdefault(name, value)
    if Path(request.program).name != "dvc":  # which computes nothing, and its stages may differ
        os.environ.update(libraries.settings)
    is_module = request.is_python
    first = str(Path.cwd() if is_module else Path(request.program).parent)
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [first, *filter(None, inherited), *libraries.path]
    skipped = 1 if is_module else 0
    sys.argv = [request.program, *request.arguments][skipped:]
    sys.orig_argv = [sys.executable, *([] if is_module else [request.program]), *request.arguments]
    if request.arguments[:2] == ["-m", "seedlings.run"]:
        sys.executable = libraries.python  # so that its run logger is forked, too
    importlib.invalidate_caches()
    np.random.seed()  # the state that a new process has


def _run(request: _Request) -> int:
    """Run the module or the program as the interpreter does; returns the exit code."""
    code = 0
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    try:
        if request.is_python:
            module = sys.argv.pop(1)
            runpy._run_module_as_main(module)  # type: ignore[attr-defined]
        else:
            main.__file__ = request.program
            text = Path(request.program).read_bytes()
            exec(compile(text, request.program, "exec"), main.__dict__)
    except SystemExit as error:
        code = _exit_code(error)
    except BaseException as error:  # noqa: BLE001 - as the interpreter
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = 120
    return code


def _exit_code(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def main(descriptor: int, python: str, settings: str) -> None:
    """Be the server that listens on a socket."""
    libraries = _Libraries.load(python, json.loads(settings))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    _Server(socket.socket(fileno=descriptor), libraries).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
