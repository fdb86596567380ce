"""A real cluster: the same bytes whatever its workers do, and what it refuses."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cluster_works
import clusters
import psutil
import pytest
from cluster_works import Apart, Folder, Roots
from imports import ROOT

from seedlings import processor
from seedlings.cluster.connection import Connection
from seedlings.cluster.engine import Cluster
from seedlings.errors import SeedlingsError
from seedlings.io.shards import Here

pytestmark = pytest.mark.slow
CLIENT = "import sys, cluster_works; cluster_works.compute(*sys.argv[1:])"
COUNT = len(cluster_works.cut(cluster_works.numbers()))


@pytest.fixture
def here(tmp_path: Path) -> dict[str, bytes]:
    """The results without an engine."""
    return compute(Here(), Roots(tmp_path), Folder(tmp_path / "here")).bytes()


def compute(engine: Here | Cluster, work: Roots, sink: Apart, *orders: str) -> Apart:
    items = cluster_works.numbers()
    items[20:20] = orders
    engine.map(work, cluster_works.cut(items), sink)
    return sink


def client(folder: Path, env: dict[str, str], delay: float = 0.0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CLIENT, str(folder), str(folder / "results"), str(delay)]
    return subprocess.Popen(
        command,
        env=env,
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it starts in the background ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@contextmanager
def joined(
    cluster: clusters.Cluster, folder: Path, env: dict[str, str], *options: str
) -> Iterator[None]:
    """One more worker, which has joined the cluster; the options name it."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.address, *options]
    command += ["--nthreads", "1", "--host", "127.0.0.1"]
    worker = subprocess.Popen(command, env=env, cwd=folder, stderr=subprocess.DEVNULL)
    name = options[options.index("--name") + 1]
    try:
        with Connection(cluster.address) as connection:
            wait(lambda: name in names(connection))
        yield
    finally:
        worker.terminate()
        worker.wait()


def names(connection: Connection) -> list[str]:
    """The names of the workers, which are numbers unless a test gives one."""
    return [str(w["name"]) for w in connection.client.scheduler_info()["workers"].values()]


def wait(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.05)


def saved(folder: Path) -> int:
    return len([p for p in folder.glob("*") if not p.name.startswith(".")])


@pytest.mark.parametrize("kind", [Folder, Apart])
def test_two_workers_give_the_bytes_of_this_process(
    two_workers: clusters.Cluster, here: dict[str, bytes], tmp_path: Path, kind: type[Apart]
) -> None:
    sink = compute(
        Cluster(two_workers.address), Roots(tmp_path, delay=0.1), kind(tmp_path / "results")
    )
    assert sink.bytes() == here
    workers = {process.pid for process in two_workers.workers()}
    # On storage that they see, the workers save their results themselves.
    assert sink.savers() == (workers if kind is Folder else {os.getpid()})
    assert saved(tmp_path / "results") == len([*(tmp_path / "results").iterdir()])  # no token


def test_four_workers_give_the_same_bytes_and_end_with_the_killed_cluster(
    here: dict[str, bytes], tmp_path: Path
) -> None:
    with clusters.running(tmp_path / "cluster", 4) as started:
        started.use()
        sink = compute(Cluster(started.address), Roots(tmp_path), Folder(tmp_path / "results"))
        workers = started.workers()
        assert len(workers) == 4
        started.process.kill()
        psutil.wait_procs(workers)
    assert sink.bytes() == here


# What is beside a shard that has ended three workers is innocent.
@pytest.mark.parametrize("order", ["die once", "die thrice", "hang once", "fail once"])
def test_a_worker_that_dies_hangs_or_fails_changes_nothing(
    two_workers: clusters.Cluster,
    order: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flag = tmp_path / order.split()[0]
    flag.write_bytes(b"...")  # it has happened
    expected = compute(Here(), Roots(tmp_path), Folder(tmp_path / "here"), order).bytes()
    flag.unlink()
    monkeypatch.setenv("SEEDLINGS_CLUSTER_TIMEOUT", "30" if "die" in order else "3")
    work = Roots(tmp_path, delay=0.05)
    sink = compute(Cluster(two_workers.address), work, Folder(tmp_path / "results"), order)
    assert flag.exists()
    assert sink.bytes() == expected
    assert ("each is tried alone" in capsys.readouterr().err) == (order == "die thrice")


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("fail", r"^20\.png: root: failed on the workers of.*ValueError: order fail$"),
        ("die", r"^20\.png: root: failed on the workers of the cluster: 3 workers ended while"),
        ("unreadable", r"^20\.png: not an image$"),
    ],
)
def test_an_image_that_fails_always_is_named(
    two_workers: clusters.Cluster, order: str, message: str, tmp_path: Path
) -> None:
    sink = Folder(tmp_path / "results")
    with pytest.raises(SeedlingsError, match=f"(?s){message}"):
        compute(Cluster(two_workers.address), Roots(tmp_path), sink, order)
    assert all("-" not in name for name in sink.bytes())  # nothing of a single row is kept


def test_after_a_killed_client_the_same_command_continues(
    two_workers: clusters.Cluster, here: dict[str, bytes], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    first = client(tmp_path, two_workers.environment, delay=0.3)
    wait(lambda: saved(results) >= 2)
    first.kill()
    first.communicate()
    assert saved(results) < COUNT
    second = client(tmp_path, two_workers.environment)
    printed = second.communicate()[1]
    assert second.returncode == 0, printed
    assert Folder(results).bytes() == here


def test_after_a_killed_scheduler_complete_shards_are_kept(
    here: dict[str, bytes], tmp_path: Path
) -> None:
    results = Folder(tmp_path / "results")
    with clusters.running(tmp_path / "cluster", 1) as started:
        started.use()
        failures: list[SeedlingsError] = []

        def work() -> None:
            try:
                compute(Cluster(started.address), Roots(tmp_path, delay=0.3), results)
            except SeedlingsError as error:
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        wait(lambda: saved(results.place) >= 2)
        started.process.kill()
        thread.join()
        assert "what is complete is kept: start it again" in str(failures)
        assert 2 <= saved(results.place) < COUNT
        # What a killed scheduler interrupts would be logged as tracebacks.
        for name in ("distributed.client", "tornado.application"):
            assert not logging.getLogger(name).isEnabledFor(logging.ERROR)
    assert compute(Here(), Roots(tmp_path), results).bytes() == here


def test_a_worker_with_other_results_is_refused_by_name(
    two_workers: clusters.Cluster,
    here: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    env = clusters.environment(DASK_CONFIG=str(two_workers.settings), DIFFERENT="1")
    with joined(two_workers, tmp_path, env, "--name", "stranger"):
        work = Roots(tmp_path, delay=0.2, differs_on="DIFFERENT")
        sink = compute(Cluster(two_workers.address), work, Folder(tmp_path / "results"))
        printed = capsys.readouterr().err
    assert sink.bytes() == here
    assert "(stranger) is restarted: other results for the same inputs (processor" in printed
    assert "(stranger) is refused: other results for the same inputs (processor" in printed


def test_a_worker_with_another_version_of_a_package_is_refused_by_name(
    two_workers: clusters.Cluster,
    here: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    package = tmp_path / "packages" / "pillow-1.0.dist-info" / "METADATA"
    package.parent.mkdir(parents=True)
    package.write_text("Metadata-Version: 2.1\nName: pillow\nVersion: 1.0\n", encoding="utf-8")
    env = clusters.environment(DASK_CONFIG=str(two_workers.settings))
    env["PYTHONPATH"] = os.pathsep.join((str(package.parents[1]), env["PYTHONPATH"]))
    with joined(two_workers, tmp_path, env, "--name", "odd"):
        work = Roots(tmp_path, delay=0.2)
        sink = compute(Cluster(two_workers.address), work, Folder(tmp_path / "results"))
    assert sink.bytes() == here
    printed = capsys.readouterr().err
    assert f"(odd) is refused: pillow 1.0 (here {version('pillow')})\n" in printed
    assert "(odd) is restarted" not in printed  # no restart changes a package


def fill(share: float, dask_worker: Any) -> None:
    """Fill the memory of a worker up to a share of its limit, and keep it."""
    limit = dask_worker.memory_manager.memory_limit
    kept = bytearray(int(share * limit) - psutil.Process().memory_info().rss)
    kept[::4096] = b"1" * len(kept[::4096])
    dask_worker.kept = kept


def test_a_worker_without_free_memory_is_restarted(
    two_workers: clusters.Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    env = clusters.environment(DASK_CONFIG=str(two_workers.settings))
    options = ("--name", "full", "--memory-limit", "600MB")
    monkeypatch.setenv("SEEDLINGS_CLUSTER_TIMEOUT", "1")
    with (
        joined(two_workers, tmp_path, env, *options),
        Connection(two_workers.address) as connection,
    ):
        wait(lambda: connection.count() == 3)
        known = connection.client.scheduler_info()["workers"]
        [address] = [found for found, worker in known.items() if worker["name"] == "full"]
        connection.client.run(fill, 0.85, workers=[address])
        wait(lambda: connection.count() == 2)
        wait(lambda: connection.count() == 3)
    message = f"worker {address} has had no free memory for 1 s (SEEDLINGS_CLUSTER_TIMEOUT)"
    assert message in capsys.readouterr().err


def test_workers_take_the_settings_of_the_processor_that_the_client_has(
    two_workers: clusters.Cluster,
    here: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    [*names] = processor.SETTINGS
    with monkeypatch.context() as without:
        for name in names:
            without.delenv(name)
        work = Roots(tmp_path, differs_on=names[0])  # other results where the setting is there
        unset = compute(Cluster(two_workers.address), work, Folder(tmp_path / "unset"))
    assert unset.bytes() == here
    printed = capsys.readouterr().err
    assert printed.count("is restarted: expected the processor's settings of the parameter") == 2
    assert f"({names[0]} unset" in printed
    assert f"found {names[0]} {processor.SETTINGS[names[0]]}" in printed
    again = compute(Cluster(two_workers.address), Roots(tmp_path), Folder(tmp_path / "set"))
    assert again.bytes() == here
    printed = capsys.readouterr().err
    assert f"({names[0]} {processor.SETTINGS[names[0]]}" in printed
    assert f"found {names[0]} unset" in printed


def test_a_worker_without_a_nanny_and_with_other_settings_of_the_processor_is_refused(
    two_workers: clusters.Cluster,
    here: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    env = clusters.environment(DASK_CONFIG=str(two_workers.settings))
    env = {name: value for name, value in env.items() if name not in processor.SETTINGS}
    with joined(two_workers, tmp_path, env, "--name", "alone", "--no-nanny"):
        work = Roots(tmp_path, delay=0.3)
        sink = compute(Cluster(two_workers.address), work, Folder(tmp_path / "results"))
    assert sink.bytes() == here
    printed = capsys.readouterr().err
    assert "(alone) is refused: expected the processor's settings of the parameter" in printed
    assert "start the worker with a nanny, or with the same environment" in printed


def test_workers_with_older_code_are_restarted_and_those_with_other_code_refused(
    here: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "seedlings", copy / "seedlings")
    path = os.pathsep.join((str(copy), str(ROOT / "tests")))
    with clusters.running(tmp_path / "cluster", 1, PYTHONPATH=path) as started:
        started.use()
        first = compute(Cluster(started.address), Roots(tmp_path), Folder(tmp_path / "first"))
        assert first.bytes() == here  # one worker gives the same bytes
        with (copy / "seedlings" / "tasks.py").open("a") as file:
            file.write("# changed\n")
        done = client(tmp_path, started.environment | {"PYTHONPATH": path})
        printed = done.communicate()[1]
        assert done.returncode == 0, printed
        assert "is restarted: its code has changed since it started\n" in printed
        with pytest.raises(SeedlingsError, match="no worker agrees with this process"):
            compute(Cluster(started.address), Roots(tmp_path), Folder(tmp_path / "second"))
        assert "is refused: other code in seedlings/tasks.py\n" in capsys.readouterr().err


def test_ctrl_c_ends_the_client(two_workers: clusters.Cluster, tmp_path: Path) -> None:
    process = client(tmp_path, two_workers.environment, delay=0.5)
    wait(lambda: saved(tmp_path / "results") >= 1)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate()[1]
    assert process.returncode != 0
