"""A scheduler and its workers on this machine: Dask's LocalCluster, with keys made for it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import dask
import yaml
from distributed import LocalCluster, Security

from seedlings import processor
from seedlings.errors import SeedlingsError
from seedlings.io.files import replacing

SETTINGS = "dask.yaml"
# Dask sets these in workers; without them a worker is as fast as a process without an engine.
_UNSET = ("MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_NO_HTTP = "127.0.0.1:0"  # of the server that `closed` closes


def write_settings(folder: Path) -> Path:
    """Write a file for DASK_CONFIG with new keys, readable by its owner alone; return its path.

    Whoever has the file may run code on every machine of the cluster.
    """
    path = folder.absolute() / SETTINGS
    if path.exists():
        path.chmod(0o600)  # the new file has the permissions of the old one
    with replacing(path) as scratch:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(scratch, flags, 0o600), "w", encoding="utf-8") as file:
            yaml.safe_dump(_settings(Security.temporary()), file, sort_keys=False)
    return path


@contextmanager
def running(settings: Path, *, workers: int, host: str, port: int) -> Iterator[str]:
    """Start a scheduler and workers with the settings in a file; yield the scheduler's address.

    Each worker has a nanny, which replaces it when it ends or runs out of memory. Raises
    SeedlingsError if the scheduler cannot listen there. Ctrl-C and SIGTERM raise KeyboardInterrupt.
    """
    dask.config.update(dask.config.config, yaml.safe_load(settings.read_text(encoding="utf-8")))
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host=host,
            scheduler_port=port,
            dashboard_address=_NO_HTTP,
            worker_dashboard_address=_NO_HTTP,
            local_directory=str(settings.parent),
        )
    except RuntimeError as error:
        raise SeedlingsError(
            f"the scheduler did not start at {host}:{port} ({error.__cause__ or error}); is the "
            "port free (--port), and the address one of this machine (--host)?"
        ) from error
    with cluster:
        yield cluster.scheduler_address


def _settings(security: Security) -> dict[str, Any]:
    """Return Dask's configuration: mutual TLS, no HTTP, and no work beside that of the shards.

    All peers have the same certificate, and accept that one alone.
    """
    peer = {"cert": security.tls_client_cert, "key": security.tls_client_key}
    alone = {"http": {"routes": []}, "preload": ["seedlings.cluster.closed"]}
    return {
        "distributed": {
            "comm": {
                "default-scheme": "tls",
                "require-encryption": True,
                "timeouts": {"connect": "10s"},  # also to a worker that has just ended
                "tls": {
                    "ca-file": security.tls_ca_file,
                    **{role: dict(peer) for role in ("scheduler", "worker", "client")},
                },
            },
            "scheduler": {
                **alone,
                "allowed-failures": 2,
                "worker-ttl": "60s",  # without a sign of life, a worker is replaced
                "active-memory-manager": {"start": False},
            },
            "worker": {**alone, "profile": {"enabled": False}},
            # Most works have these settings; for others, workers are restarted.
            "nanny": {"pre-spawn-environ": dict.fromkeys(_UNSET) | processor.SETTINGS},
            # Whatever a worker does, its nanny replaces it; Dask would give both up after a while.
            "deploy": {"lost-worker-timeout": "1 day"},
            "admin": {"system-monitor": {"gil": {"enabled": False}}, "tick": {"interval": "500ms"}},
            "logging": {"distributed": "warning"},
        }
    }


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
