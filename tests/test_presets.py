import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from dvc.utils.hydra import compose_and_dump
from imports import ROOT

from seedlings import cli, params, presets
from seedlings.errors import SeedlingsError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_committed_parameters_are_what_the_default_composes_to(project: Path) -> None:
    committed = (project / "params.yaml").read_text(encoding="utf-8")
    assert committed == presets.compose()
    target = project / "composed.yaml"
    compose_and_dump(target, str(project / "conf"), None, "config", str(project), [])
    assert committed == target.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [path.stem for path in (ROOT / "conf/preset").glob("*.yaml")])
def test_every_preset_is_valid_and_knows_its_name(name: str, project: Path) -> None:
    assert params.check(params.parse(presets.compose([f"preset={name}"]))).preset == name


def test_every_system_has_its_preset(project: Path) -> None:
    systems = "plants mnist digits horses_or_humans cats_vs_dogs driving folder multilabel"
    assert set(systems.split()) <= set(presets.names())


@pytest.mark.parametrize("group", ["data", "model", "augment", "train"])
def test_every_choice_of_a_group_changes_known_parameters_alone(group: str, project: Path) -> None:
    known = params.flatten(params.parse(presets.compose()))
    for path in sorted((project / "conf" / group).glob("*.yaml")):
        composed = params.parse(presets.compose([f"{group}={path.stem}"]))
        added = set(params.flatten(composed)) - set(known)
        assert all(key.startswith("data.index.") for key in added), path


def test_a_chosen_preset_is_the_default_from_then_on(project: Path) -> None:
    CliRunner().invoke(cli.cli, ["preset", "digits"], catch_exceptions=False)
    written = params.load()
    assert (written.preset, written.data.source) == ("digits", "digits")
    assert params.parse(presets.compose())["preset"] == "digits"
    assert presets.differences() == {}
    comments = (project / "conf/config.yaml").read_text(encoding="utf-8").count("#")
    assert comments == (ROOT / "conf/config.yaml").read_text(encoding="utf-8").count("#")


def test_edits_that_composing_would_lose_are_told(project: Path) -> None:
    def show() -> str:
        return CliRunner().invoke(cli.cli, ["preset"], catch_exceptions=False).output

    assert show() == ""
    text = (project / "params.yaml").read_text(encoding="utf-8")
    (project / "params.yaml").write_text(text.replace("seed: 42", "seed: 43"), encoding="utf-8")
    assert "seed: 43, not 42" in show()
    own = project / "conf" / "local" / "changes.yaml"
    own.parent.mkdir()
    own.write_text("# @package _global_\nseed: 43\n", encoding="utf-8")
    assert show() == ""


def test_an_unknown_preset_and_a_bad_change_are_errors(project: Path) -> None:
    with pytest.raises(SeedlingsError, match=r"expected one of .*plants.*, found 'flowers'"):
        presets.choose("flowers")
    with pytest.raises(SeedlingsError, match=r"conf: finetune\.epohcs=3: .*"):
        presets.compose(["finetune.epohcs=3"])
