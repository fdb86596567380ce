from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from seedlings.config import last_record, paths
from seedlings.config.records import Record


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    monkeypatch.chdir(tmp_path)
    return Repo.init(no_scm=True)


def lock(repo: Repo, record: Record) -> None:
    """Put a record into DVC's cache, and its hash into dvc.lock; the workspace has none then."""
    record.write(paths.record(record.stage))
    [stage] = repo.add(str(paths.report(record.stage)))
    out = {"path": f"reports/{record.stage}", "md5": stage.outs[0].hash_info.value}
    stages = {record.stage: {"cmd": "echo", "outs": [{"path": "data", "md5": "0.dir"}, out]}}
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    paths.record(record.stage).unlink()


def test_the_last_record_is_in_the_cache_under_the_hash_of_dvc_lock(repo: Repo) -> None:
    record = Record("download", {"data.url": "x"}, details={"checksum": "sha256:1"})
    lock(repo, record)
    assert last_record.read("download") == record
    assert last_record.read("split") is None


def test_without_dvc_lock_or_the_cache_there_is_no_record(repo: Repo, tmp_path: Path) -> None:
    assert last_record.read("download") is None
    lock(repo, Record("download"))
    repo.cache.local.clear()
    assert last_record.read("download") is None


def test_outside_a_repository_of_dvc_there_is_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outs = [{"path": "reports/download", "md5": "0.dir"}]
    stages = {"download": {"cmd": "echo", "outs": outs}}
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    assert last_record.read("download") is None
