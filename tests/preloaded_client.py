"""The program that stands for `python`, `dvc` and `seedlings` on the PATH of a test's project.

It hands what it was asked to run to the server of preloaded.py and ends as that ends. What is not
for the server, or what the server does not take, it runs as an ordinary process. It starts in 20 ms
as it imports next to nothing; it is run with `python -IS`.
"""

import array
import marshal
import os
import signal
import socket
import sys

MODULES = ("stages.", "seedlings.")  # `python -m` of anything else is an ordinary process
SERVERS = ("demo", "serve", "ui")  # commands of `seedlings` that run until they are killed
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
RIGHTS = ("Uid", "Gid", "Groups", "CapEff", "NoNewPrivs", "Seccomp", "Cpus_allowed")
ORDINARY = b"ordinary"


def surroundings() -> list[str]:
    """What a process has from its parent besides its files, folder and environment."""
    with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow
        found = [line for line in file if line.split(":")[0] in RIGHTS]
    for name in ("limits", "cgroup"):
        with open(f"/proc/self/{name}", encoding="utf-8") as file:  # noqa: PTH123
            found.append(file.read())
    for name in ("root", *(f"ns/{kind}" for kind in NAMESPACES)):
        found.append(os.readlink(f"/proc/self/{name}"))  # noqa: PTH115
    return found


def is_for_the_server(program: str, arguments: list[str]) -> bool:
    """Whether it is a module or a command of the project, or a command of DVC."""
    if program == "python":
        return len(arguments) > 1 and arguments[0] == "-m" and arguments[1].startswith(MODULES)
    return program == "dvc" or not arguments or arguments[0] not in SERVERS


def ask(address: str, program: str, arguments: list[str]) -> bytes:
    """Have the server run it; returns how it ended, or ORDINARY where it was not run."""
    mask = os.umask(0)
    os.umask(mask)
    try:
        cwd, around = os.getcwd(), surroundings()  # noqa: PTH109
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address)
    except OSError:
        return ORDINARY
    message = marshal.dumps((program, arguments, cwd, dict(os.environb), mask, around))
    files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
    try:
        connection.sendmsg([len(message).to_bytes(4, "big")], files)
        connection.sendall(message)
    except OSError:  # a file is closed, or the server has ended
        return ORDINARY
    return connection.recv(100)


def main(address: str, program: str, *arguments: str) -> None:
    """Run `program`, the path of the real one, by the server or as an ordinary process."""
    answer = ORDINARY
    if is_for_the_server(program.rpartition("/")[2], list(arguments)):
        answer = ask(address, program, list(arguments))
    if answer == ORDINARY:
        os.execv(program, [program, *arguments])
    kind, _, number = answer.decode().partition(" ")
    if kind == "signal":
        if int(number) != signal.SIGKILL:
            signal.signal(int(number), signal.SIG_DFL)
        os.kill(os.getpid(), int(number))
    if kind != "exit":
        sys.exit("the server of preloaded processes has ended; its log is beside its socket")
    os._exit(int(number))
