import datetime
from pathlib import Path

import yaml
from cryptography import x509

from seedlings.cluster import certificates


def test_the_settings_are_one_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "dask.yaml"
    certificates.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    found = yaml.safe_load(path.read_text(encoding="utf-8"))["distributed"]
    assert found["comm"]["require-encryption"] is True
    tls = found["comm"]["tls"]
    assert tls["ca-file"] == tls["worker"]["cert"] == tls["client"]["cert"]
    assert "PRIVATE KEY" in tls["scheduler"]["key"]
    before = path.read_bytes()
    path.chmod(0o644)
    certificates.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() != before  # the key is new


def test_a_certificate_is_valid_for_a_month() -> None:
    certificate = x509.load_pem_x509_certificate(certificates.make()[0].encode())
    now = datetime.datetime.now(tz=datetime.UTC)
    assert certificate.not_valid_before_utc < now
    assert datetime.timedelta(29) < certificate.not_valid_after_utc - now < datetime.timedelta(31)
