"""The settings of a cluster for Dask, with a key and a certificate made for it, in one file."""

import datetime
import os
from pathlib import Path
from typing import Any

import yaml

from seedlings import processor
from seedlings.io.files import replacing

_DAYS = 30
# Dask sets these in workers; without them a worker is as fast as a process without an engine.
_UNSET = ("MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_PRELOAD = "seedlings.cluster.closed"


def write(path: Path) -> None:
    """Write a file for DASK_CONFIG, readable by its owner alone, with a new key.

    Whoever has the file may run code on every machine of the cluster.
    """
    certificate, key = make()
    if path.exists():
        path.chmod(0o600)  # the new file has the permissions of the old one
    with replacing(path) as scratch:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(scratch, flags, 0o600), "w", encoding="utf-8") as file:
            yaml.safe_dump(settings(certificate, key), file, sort_keys=False)


def make() -> tuple[str, str]:
    """Return a self-signed certificate and its key (P-256), as PEM; valid for 30 days."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "seedlings-cluster")])
    now = datetime.datetime.now(tz=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def settings(certificate: str, key: str) -> dict[str, Any]:
    """Return Dask's configuration: mutual TLS, no HTTP, and no work beside that of the shards.

    All peers have the same certificate, and accept that one alone.
    """
    peer = {"cert": certificate, "key": key}
    alone = {"http": {"routes": []}, "preload": [_PRELOAD]}
    return {
        "distributed": {
            "comm": {
                "default-scheme": "tls",
                "require-encryption": True,
                "tls": {
                    "ca-file": certificate,
                    **{role: dict(peer) for role in ("scheduler", "worker", "client")},
                },
            },
            "scheduler": {
                **alone,
                "worker-ttl": "60s",  # without a sign of life, a worker is replaced
                "work-stealing": False,
                "active-memory-manager": {"start": False},
            },
            "worker": {**alone, "profile": {"enabled": False}},
            # Most tasks have these settings; for others, workers are restarted.
            "nanny": {"pre-spawn-environ": dict.fromkeys(_UNSET) | processor.SETTINGS},
            "admin": {"system-monitor": {"gil": {"enabled": False}}},
            "logging": {"distributed": "warning"},
        }
    }
