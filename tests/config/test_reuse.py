import hashlib
import shutil
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from imports import ROOT

from seedlings.config import paths, pipeline, reuse
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
    with Repo() as repo:
        (entry,) = repo.stage.collect("segment")
        hashes = {dep.def_path: dep.get_hash().value for dep in entry.deps if dep.def_path in code}
    lock = {
        "cmd": stage["cmd"],
        "params": {"params.yaml": {"segment": {"method": "none"}, "task": "binary"}},
        "deps": [{"path": dep, "md5": digest} for dep, digest in hashes.items()],
        "outs": [{"path": "data/images", "md5": "0123.dir"}],
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"segment": lock}}))
    return Record("segment", {"segment.method": "none", "task": "binary"})


def reason(record: Record, capsys: pytest.CaptureFixture[str]) -> str:
    with reuse.of_last_run(record, [paths.IMAGES]) as last:
        assert last.outputs is None
    return capsys.readouterr().out


def test_what_changed_since_dvc_lock_is_named(
    record: Record, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reuse, "_link", lambda *arguments: True)  # the cache has the last outputs
    record.params["segment.method"] = "excess_green"
    assert "as segment.method changed since dvc.lock" in reason(record, capsys)
    record.params["segment.method"] = "none"
    Path("seedlings/segmentation/other.py").touch()
    assert "as seedlings/segmentation changed since dvc.lock" in reason(record, capsys)
    Path("seedlings/segmentation/other.py").unlink()
    stages = yaml.safe_load(Path("dvc.yaml").read_text())
    stages["stages"]["segment"]["cmd"] = "true"
    Path("dvc.yaml").write_text(yaml.safe_dump(stages))
    assert "as the command changed since dvc.lock" in reason(record, capsys)


def test_without_the_last_outputs_nothing_is_said_unless_a_remote_may_have_them(
    record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reason(record, capsys) == ""
    Path("seedlings/segmentation/__pycache__").mkdir()
    Path("seedlings/segmentation/__pycache__/other.pyc").touch()  # no file of code
    Path(".dvc/config.local").write_text("[core]\n    remote = storage\n")
    assert reason(record, capsys) == (
        "segment: no row is reused: `dvc pull` fetches the last outputs\n"
    )
    record.params["segment.method"] = "excess_green"
    assert reason(record, capsys) == ""


def test_the_last_outputs_are_reused_from_the_cache_while_only_data_changed(
    record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("data/raw/a.png", "data/split.csv", "data/images/inner/a", "reports/segment/b"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    with Repo() as repo:
        repo.commit("segment", force=True)
        cache = Path(repo.cache.local.path)
    record.params["portable"] = True  # as in params.yaml, which DVC records
    shutil.rmtree("data/images")  # as DVC does before it runs the stage
    Path("data/raw/b.png").write_text("new")
    with reuse.of_last_run(record, [paths.IMAGES]) as last:
        assert last.outputs
        found = last.outputs / "data/images/inner/a"
        assert found.read_text() == "data/images/inner/a"
        assert found.readlink().is_relative_to(cache)
        assert not (last.outputs / "reports").exists()
    assert not last.outputs.exists()
    assert capsys.readouterr().out == ""
    record.params["task"] = "multiclass"
    assert "as task changed since dvc.lock" in reason(record, capsys)
    with reuse.of_last_run(record, [paths.IMAGES], with_params=False) as last:
        assert last.outputs  # rows that no parameter changes
    record.params["task"] = "binary"
    found = cache / hashlib.md5(b"data/images/inner/a").hexdigest()[:2]
    shutil.rmtree(found)
    assert reason(record, capsys) == ""


def test_without_an_entry_or_with_reuse_off_nothing_is_said_and_another_setting_is_refused(
    record: Record, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDLINGS_REUSE", "off")
    assert reason(record, capsys) == ""
    monkeypatch.setenv("SEEDLINGS_REUSE", "no")
    with pytest.raises(SeedlingsError, match="SEEDLINGS_REUSE: expected `on` or `off`, found 'no'"):
        reason(record, capsys)
    monkeypatch.delenv("SEEDLINGS_REUSE")
    Path("dvc.lock").unlink()
    assert reason(record, capsys) == ""


def test_the_key_covers_parameters_code_and_packages_and_for_a_checkpoint_the_data(
    record: Record,
) -> None:
    def keys() -> tuple[str, str]:
        with reuse.of_last_run(record, []) as last:
            return last.key, reuse.key(record)

    Path("data/raw").mkdir(parents=True)
    for name in ("data/raw/a.png", "data/split.csv"):
        Path(name).write_text("1")
    found = [keys()]
    hashes = reuse.input_hashes("segment")
    assert set(hashes) == {"data/raw", "data/split.csv"}
    assert hashes["data/split.csv"] == hashlib.md5(b"1").hexdigest()
    Path("seedlings/serving").mkdir()
    Path("seedlings/serving/bulk.py").write_text("1")  # of another stage
    Path("dvc.lock").unlink()
    assert keys() == found[0]
    for name in ("seedlings/segmentation/module.py", "requirements.lock", "stages/segment.py"):
        Path(name).write_text("2")
        found.append(keys())
    record.params["segment.method"] = "excess_green"
    found.append(keys())
    of_rows, of_checkpoints = map(set, zip(*found, strict=True))
    assert len(of_rows) == len(of_checkpoints) == 5
    for name in ("data/raw/a.png", "data/split.csv"):
        Path(name).write_text("2")
        of_row, of_checkpoint = keys()
        assert of_row in of_rows
        assert of_checkpoint not in of_checkpoints
        of_checkpoints.add(of_checkpoint)


def test_the_last_record_is_in_the_cache_under_the_hash_of_dvc_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repo = Repo.init(no_scm=True)
    assert reuse.last_record("download") is None
    stage = {"cmd": "echo", "outs": [paths.report("download").as_posix()]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"download": stage}}))
    record = Record("download", {"data.url": "x"}, details={"checksum": "sha256:1"})
    record.write(paths.record("download"))
    with Repo() as present:
        present.commit(force=True)
    paths.record("download").unlink()
    assert reuse.last_record("download") == record
    repo.cache.local.clear()
    assert reuse.last_record("download") is None
