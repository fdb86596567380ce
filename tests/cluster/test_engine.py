import importlib.util
import socket
import sys
from pathlib import Path

import cluster_works
import clusters
import dask
import pytest
from cluster_works import Folder, Roots
from servers import free_port

from seedlings.cluster import engine
from seedlings.cluster.connection import ClusterError, Connection
from seedlings.cluster.engine import Cluster
from seedlings.errors import SeedlingsError
from seedlings.io.shards import Here


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.delenv("SEEDLINGS_CLUSTER", raising=False)
    dask.config.refresh()  # without the settings of a cluster that another test has used


def test_the_environment_chooses_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(engine.choose(), Here)
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tls://10.0.0.1:8786")
    chosen = engine.choose()
    assert isinstance(chosen, Cluster)
    assert (chosen.address, chosen.optional) == ("tls://10.0.0.1:8786", False)
    monkeypatch.setenv("SEEDLINGS_CLUSTER", "optional")
    assert engine.choose().optional is True  # type: ignore[attr-defined]
    monkeypatch.setenv("SEEDLINGS_CLUSTER", "perhaps")
    with pytest.raises(SeedlingsError, match="SEEDLINGS_CLUSTER: expected `required` or"):
        engine.choose()


def compute(cluster: Cluster, folder: Path) -> Folder:
    sink = Folder(folder / "results")
    cluster.map(Roots(folder), cluster_works.cut(cluster_works.numbers()), sink)
    return sink


def test_without_the_extra_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    address = "tcp://127.0.0.1:8786"
    with pytest.raises(SeedlingsError, match=r"found none; install it with `make \.venv/cluster`"):
        compute(Cluster(address), tmp_path)
    found = compute(Cluster(address, optional=True), tmp_path)
    assert len(found.bytes()) == 13
    printed = capsys.readouterr().err
    assert printed.count("warning: ") == 1
    assert "this process does the work" in printed


def test_with_nothing_to_compute_no_scheduler_is_needed(tmp_path: Path) -> None:
    sink = Folder(tmp_path / "results")
    pieces = cluster_works.cut(cluster_works.numbers())
    Here().map(Roots(tmp_path), pieces, sink)
    Cluster("tcp://127.0.0.1:1").map(Roots(tmp_path), pieces, sink)


def test_a_scheduler_that_is_down_is_an_error_or_the_work_is_done_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        with pytest.raises(SeedlingsError, match=rf"expected a Dask scheduler at {address} \(DASK"):
            compute(Cluster(address), tmp_path)
        assert len(compute(Cluster(address, optional=True), tmp_path).bytes()) == 13
    assert capsys.readouterr().err.count("warning: ") == 1


@pytest.mark.slow
def test_a_scheduler_without_workers_is_an_error_or_the_work_is_done_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEEDLINGS_CLUSTER_TIMEOUT", "1")
    with clusters.running(tmp_path / "cluster", 0) as started:
        started.use()
        message = rf"expected workers at the scheduler {started.address}, found none for 1 s \(SEED"
        with pytest.raises(SeedlingsError, match=message):
            compute(Cluster(started.address), tmp_path)
        found = compute(Cluster(started.address, optional=True), tmp_path)
    assert len(found.bytes()) == 13
    assert capsys.readouterr().err.count("warning: ") == 1


def test_another_server_at_the_address_is_no_scheduler(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
            pytest.raises(ClusterError, match="expected a Dask scheduler"),
        ):
            Connection(address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://192.0.2.1:8786", "expected tls:// for an address beyond this machine"),
        ("192.0.2.1:8786", "expected tls:// for an address beyond this machine"),
        ("tcp://no-such-name.invalid:8786", "expected tls:// for an address beyond"),
        ("ws://127.0.0.1:8786", "expected tls://HOST:PORT, or tcp://127.0.0.1:PORT, found 'ws:"),
        ("tls://here", "expected tls://HOST:PORT"),
        ("tls://127.0.0.1:8786", "expected certificates for TLS, found none; set DASK_CONFIG"),
    ],
)
def test_an_address_without_tls_is_only_allowed_on_this_machine(address: str, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        Connection(address)


def test_dask_is_imported_only_for_a_cluster() -> None:
    import subprocess

    program = "import sys; import seedlings.run, seedlings.cli; print('distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n"
