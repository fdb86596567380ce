import shutil
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from imports import ROOT

from seedlings.config import earlier, paths, pipeline
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """The stage segment, with a dvc.lock that has its present command, parameters and code."""
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True)
    shutil.copyfile(ROOT / ".dvcignore", ".dvcignore")
    Path("params.yaml").write_text("segment: {method: none}\nportable: true\ntask: binary\n")
    monkeypatch.delenv("SEEDLINGS_REUSE", raising=False)
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["segment"]
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"segment": stage}}))
    code = [dep for dep in stage["deps"] if dep.startswith(pipeline.CODE)]
    for dep in code:
        path = Path(dep) if Path(dep).suffix else Path(dep) / "module.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {dep}")
    hashes = pipeline.dep_hashes("segment", pipeline.is_code)
    lock = {
        "cmd": stage["cmd"],
        "params": {"params.yaml": {"segment": {"method": "none"}, "task": "binary"}},
        "deps": [{"path": dep, "md5": digest} for dep, digest in hashes.items()],
        "outs": [{"path": "data/images", "md5": "0123.dir"}],
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"segment": lock}}))
    return Record("segment", {"segment.method": "none", "task": "binary"})


def reason(record: Record, capsys: pytest.CaptureFixture[str]) -> str:
    with earlier.outputs(record, [paths.IMAGES]) as found:
        assert found is None
    return capsys.readouterr().out


def test_what_changed_since_dvc_lock_is_named(
    record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nothing changed, but the cache is empty.
    assert "as DVC's cache does not have the last" in reason(record, capsys)
    record.params["segment.method"] = "excess_green"
    assert "as segment.method changed since dvc.lock" in reason(record, capsys)
    record.params["segment.method"] = "none"
    Path("seedlings/segmentation/other.py").touch()
    assert "as seedlings/segmentation changed since dvc.lock" in reason(record, capsys)
    Path("seedlings/segmentation/other.py").unlink()
    Path("seedlings/segmentation/__pycache__").mkdir()
    Path("seedlings/segmentation/__pycache__/other.pyc").touch()  # no file of code
    assert "as DVC's cache does not have the last" in reason(record, capsys)


def test_without_an_entry_or_with_reuse_off_nothing_is_said(
    record: Record, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDLINGS_REUSE", "off")
    assert reason(record, capsys) == ""
    monkeypatch.delenv("SEEDLINGS_REUSE")
    Path("dvc.lock").unlink()
    assert reason(record, capsys) == ""


def test_another_setting_is_refused(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEDLINGS_REUSE", "no")
    with (
        pytest.raises(SeedlingsError, match="SEEDLINGS_REUSE: expected `on` or `off`, found 'no'"),
        earlier.outputs(record, [paths.IMAGES]),
    ):
        pass
