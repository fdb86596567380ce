import json
import shutil
from pathlib import Path

import pytest
import yaml
from imports import ROOT

from seedlings.errors import SeedlingsError
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")


def test_a_stage_gets_its_parameters_and_writes_its_record() -> None:
    @stage("segment")
    def main(params: Params, record: Record) -> None:
        record.add_metrics({"size": params.segment.size[0]})

    main()
    written = json.loads(Path("reports/segment/record.json").read_text(encoding="utf-8"))
    assert written["metrics"] == {"size": 150.0}
    assert written["params"]["segment.method"] == "excess_green"
    assert {key.split(".")[0] for key in written["params"]} == {"segment", "task"}


def test_an_error_that_a_user_can_act_on_has_no_traceback() -> None:
    @stage("segment")
    def main(params: Params, record: Record) -> None:
        raise SeedlingsError("expected this, found that")

    with pytest.raises(SystemExit, match="segment: expected this, found that"):
        main()
    assert not Path("reports/segment/record.json").exists()


def test_parameters_are_checked_before_anything_is_done() -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    tree = yaml.safe_load(text)
    tree["finetune"]["epohcs"] = 3
    Path("params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    called = []

    @stage("segment")
    def main(params: Params, record: Record) -> None:
        called.append(1)

    with pytest.raises(SystemExit, match=r"finetune\.epohcs: no such parameter"):
        main()
    assert called == []
    assert not Path("mlflow.db").exists()


def test_a_section_that_dvc_yaml_does_not_declare_is_not_to_be_had() -> None:
    @stage("segment")
    def main(params: Params, record: Record) -> None:
        _ = params.finetune

    with pytest.raises(AttributeError):
        main()


def test_a_record_holds_the_declared_parameters_alone() -> None:
    @stage("split")
    def main(params: Params, record: Record) -> None:
        assert params.data.on_bad_image == "refuse"

    main()
    written = json.loads(Path("reports/split/record.json").read_text(encoding="utf-8"))
    keys = set(written["params"])
    assert {key for key in keys if key.startswith("data.")} == {
        "data.index",
        "data.on_bad_image",
    }
    assert {"seed", "split.rule", "split.test_share"} < keys


def test_two_stages_with_the_same_result_write_the_same_record() -> None:
    written = []
    for _ in range(2):

        @stage("segment")
        def main(params: Params, record: Record) -> None:
            record.add_metrics({"x": 0.1 + 0.2})
            record.add_epoch({"loss": 1 / 3})

        main()
        written.append(Path("reports/segment/record.json").read_bytes())
    assert written[0] == written[1]
    assert str(Path.cwd()).encode() not in written[0]
