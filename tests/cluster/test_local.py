"""What a cluster opens, and who is turned away."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cluster_works
import clusters
import dask
import psutil
import pytest
import servers
import yaml
from click.testing import CliRunner
from cluster_works import Apart, Roots
from distributed import Security
from filelock import FileLock
from imports import ROOT

from seedlings import cli
from seedlings.cluster import local
from seedlings.cluster.connection import ClusterError, Connection
from seedlings.io.shards import Here

CLIENT = """
import os, sys, time; from pathlib import Path; import cluster_works
from seedlings.cluster import engine
from seedlings.cluster.connection import Connection
with Connection(os.environ["DASK_SCHEDULER_ADDRESS"]) as connection:
    connection.client.wait_for_workers(2)
pieces = cluster_works.cut(cluster_works.numbers())
folder = Path(sys.argv[1])
engine.choose().map(cluster_works.Roots(folder, delay=0.1), pieces, cluster_works.Apart(folder))
"""
OLD = """
import distributed.versions as versions
versions._version_cached = lambda name: "2020.1.0"
from distributed.cli.dask_scheduler import main
main()
"""


@pytest.fixture
def cluster(two_workers: clusters.Cluster) -> clusters.Cluster:
    """The cluster, with both of its workers."""
    with Connection(two_workers.address) as connection:
        connection.client.wait_for_workers(2)
    return two_workers


def listening(pid: int) -> set[tuple[str, int]]:
    """The addresses at which a process listens, as the kernel writes them."""
    sockets = {str(link.readlink()) for link in _links(pid)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def _links(pid: int) -> Iterator[Path]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if link.is_symlink():
            yield link


@pytest.mark.slow
def test_every_open_port_is_on_loopback_and_speaks_tls(cluster: clusters.Cluster) -> None:
    processes = [cluster.process.pid, *(worker.pid for worker in cluster.workers())]
    ports = {address for pid in processes for address in listening(pid)}
    assert len(ports) == 1 + 2 + 2  # scheduler, nannies and workers: no HTTP server besides
    for address, port in ports:
        assert address == "0100007F"
        with socket.create_connection(("127.0.0.1", port)) as plain:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain) as encrypted:
                shown = encrypted.getpeercert(binary_form=True)
        assert shown == ssl.PEM_cert_to_DER_cert(dask.config.get("distributed.comm.tls.ca-file"))


@pytest.mark.slow
def test_a_client_without_the_key_is_turned_away(cluster: clusters.Cluster) -> None:
    other = Security.temporary()
    strange = {"cert": other.tls_client_cert, "key": other.tls_client_key}
    with dask.config.set({"distributed.comm.timeouts.connect": "2s"}):
        # It trusts the scheduler, but has a certificate of its own.
        with (
            dask.config.set({"distributed.comm.tls.client": strange}),
            pytest.raises(ClusterError, match="expected a Dask scheduler"),
        ):
            Connection(cluster.address)
        with (
            dask.config.set({"distributed.comm.tls.client": {"cert": None, "key": None}}),
            pytest.raises(ClusterError, match="expected certificates for TLS, found none"),
        ):
            Connection(cluster.address)
        with (  # without TLS at all
            dask.config.set({"distributed.comm.require-encryption": False}),
            pytest.raises(ClusterError, match="expected a Dask scheduler"),
        ):
            Connection(cluster.address.replace("tls:", "tcp:"))
    with Connection(cluster.address) as connection:
        assert connection.count() == 2


@pytest.mark.slow
def test_a_scheduler_of_another_version_is_named(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    command = [sys.executable, "-c", OLD, "--host", "tcp://127.0.0.1:0", "--no-dashboard"]
    command += ["--scheduler-file", str(file), "--dashboard-address", "127.0.0.1:0"]
    scheduler = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while not file.exists():
            time.sleep(0.05)
        address = dask.config.yaml.safe_load(file.read_text())["address"]
        with (
            dask.config.set({"distributed.comm.require-encryption": None}),
            pytest.raises(ClusterError, match=r"other versions: dask 2020\.1\.0 \(here 20"),
        ):
            Connection(address)
    finally:
        scheduler.kill()
        scheduler.wait()


@pytest.mark.slow
def test_a_port_in_use_is_an_error(cluster: clusters.Cluster, tmp_path: Path) -> None:
    port = cluster.address.rpartition(":")[2]
    command = [sys.executable, "-c", clusters.START, "cluster", "--port", port]
    env = clusters.environment()
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert f"seedlings: the scheduler did not start at 127.0.0.1:{port}" in done.stderr
    assert done.returncode == 1


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_ends_the_cluster_without_tracebacks(tmp_path: Path) -> None:
    with clusters.running(tmp_path, 1, stderr=subprocess.PIPE) as started:
        [worker] = started.workers()
        os.killpg(started.process.pid, signal.SIGINT)  # a terminal tells all processes
        printed = started.process.communicate()[1]
        psutil.wait_procs([worker])
    assert printed == "# 1 workers; stop with Ctrl-C\n# stopped\n"


def test_the_settings_are_one_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = local.write_settings(tmp_path / "folder")
    assert path.stat().st_mode & 0o777 == 0o600
    found = yaml.safe_load(path.read_text(encoding="utf-8"))["distributed"]
    assert found["comm"]["require-encryption"] is True
    tls = found["comm"]["tls"]
    assert tls["ca-file"] == tls["worker"]["cert"] == tls["client"]["cert"]
    assert "PRIVATE KEY" in tls["scheduler"]["key"]
    before = path.read_bytes()
    path.chmod(0o644)
    local.write_settings(tmp_path / "folder")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() != before  # the key is new


def test_the_settings_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.cli, ["cluster", "--settings-only"], catch_exceptions=False)
    assert Path(done.output.strip()) == tmp_path / ".dvc" / "tmp" / "cluster" / "dask.yaml"


@pytest.mark.parametrize("options", [[], ["--settings-only"]])
def test_a_second_cluster_leaves_the_key_of_the_first_alone(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".dvc" / "tmp" / "cluster"
    folder.mkdir(parents=True)
    (folder / "dask.yaml").write_text("key: first")
    with FileLock(folder / "lock"):
        done = CliRunner().invoke(cli.cli, ["cluster", *options])
    assert "expected no cluster that uses the key in " in str(done.exception)
    assert (folder / "dask.yaml").read_text() == "key: first"


@contextmanager
def namespaces() -> Iterator[tuple[str, str]]:
    """Two network namespaces, joined by a cable: 10.77.0.1 and 10.77.0.2."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and Debian's iproute2")
    names = (f"seedlings-{os.getpid()}-a", f"seedlings-{os.getpid()}-b")
    with ExitStack() as stack:
        for name in names:
            if subprocess.run(["ip", "netns", "add", name], stderr=subprocess.DEVNULL).returncode:
                pytest.skip("this system does not allow network namespaces")
            stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=True)
        cable = ["ip", "link", "add", "eth0", "netns", names[0], "type", "veth"]
        subprocess.run([*cable, "peer", "name", "eth0", "netns", names[1]], check=True)
        for number, name in enumerate(names, 1):
            inside = ["ip", "-n", name]
            subprocess.run([*inside, "address", "add", f"10.77.0.{number}/24", "dev", "eth0"])
            subprocess.run([*inside, "link", "set", "eth0", "up"], check=True)
            subprocess.run([*inside, "link", "set", "lo", "up"], check=True)
        yield names


@contextmanager
def ssh(folder: Path, one: str, other: str) -> Iterator[list[str]]:
    """OpenSSH's server in the second namespace; gives the options of ssh and scp in the first."""
    command = ["ip", "netns", "exec", other, *servers.sshd(folder, "10.77.0.2", 22)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    options = ["-i", str(folder / "user"), "-o", "BatchMode=yes"]
    options += ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={folder / 'known'}"]
    try:
        greet = ["ip", "netns", "exec", one, "ssh", *options, "10.77.0.2", "true"]
        while subprocess.run(greet, stderr=subprocess.DEVNULL).returncode:
            assert server.poll() is None, "sshd has ended"
            time.sleep(0.1)
        yield options
    finally:
        server.terminate()
        server.wait()


@contextmanager
def worker_over_ssh(
    inside: list[str], options: list[str], started: clusters.Cluster
) -> Iterator[int]:
    """A worker on the second machine, started as docs/cluster.md has it; gives its process."""
    second = started.settings.parents[4] / "second"
    second.mkdir()
    remote = f"10.77.0.2:{second}"
    subprocess.run([*inside, "scp", "-q", *options, str(started.settings), remote], check=True)
    paths = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    command = (
        f"cd {second} && PYTHONPATH={paths} DASK_CONFIG=dask.yaml {sys.executable} -m "
        f"distributed.cli.dask_worker {started.address} --host 10.77.0.2 --nthreads 1 --name second"
    )
    with (second / "log").open("w") as log:
        session = subprocess.Popen(
            [*inside, "ssh", *options, "10.77.0.2", command], stderr=log, stdout=log
        )
        try:
            while not (found := _named("--name second")):
                assert session.poll() is None, (second / "log").read_text()
                time.sleep(0.1)
            yield found[0]
        finally:
            for pid in _named("--name second"):
                os.kill(pid, signal.SIGTERM)
            session.wait()


def _named(words: str) -> list[int]:
    """The processes of Python with some words in their command line."""
    found = psutil.process_iter(["cmdline"])
    lines = {p.pid: p.info["cmdline"] or [""] for p in found}
    return [pid for pid, line in lines.items() if words in " ".join(line) and "python" in line[0]]


@pytest.mark.nightly
def test_workers_on_two_machines_with_addresses_of_their_own(tmp_path: Path) -> None:
    with namespaces() as (one, other), ExitStack() as stack:
        inside = ["ip", "netns", "exec", one]
        options = stack.enter_context(ssh(tmp_path / "ssh", one, other))
        start = (*inside, sys.executable, "-c", clusters.START)
        started = stack.enter_context(
            clusters.running(tmp_path / "first", 1, "--host", "10.77.0.1", start=start)
        )
        assert started.address.startswith("tls://10.77.0.1:")
        worker = stack.enter_context(worker_over_ssh(inside, options, started))
        results = tmp_path / "results"
        results.mkdir()
        client = [*inside, sys.executable, "-c", CLIENT, str(results)]
        done = subprocess.run(client, env=started.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "workers=2" in done.stderr
        assert {address for address, _ in listening(worker)} == {"02004D0A"}
    here = Apart(tmp_path / "here")
    pieces = cluster_works.cut(cluster_works.numbers())
    Here().map(Roots(tmp_path), pieces, here)
    assert Apart(results).bytes() == here.bytes()
