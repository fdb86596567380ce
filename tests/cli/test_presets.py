"""Presets: conf/ composed into params.yaml, with a comment for every key."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from imports import ROOT

from seedlings import cli, params
from seedlings.cli import presets
from seedlings.config import params as config
from seedlings.errors import SeedlingsError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def preset(*arguments: str) -> Result:
    return CliRunner().invoke(cli.cli, ["preset", *arguments], catch_exceptions=False)


def edit(project: Path, old: str, new: str) -> None:
    path = project / "params.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def comments(text: str) -> list[str]:
    return re.findall(r"# .*", text)


def test_the_committed_parameters_are_what_the_default_composes_to(project: Path) -> None:
    committed = (project / "params.yaml").read_text(encoding="utf-8")
    assert committed == presets.render(presets.compose(["sample"]))
    assert committed == (project / "conf" / "base.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [path.stem for path in (ROOT / "conf/preset").glob("*.yaml")])
def test_every_preset_is_valid_and_keeps_every_comment(name: str, project: Path) -> None:
    presets.write([name])
    assert config.preset(config.read()) == name
    assert params.load().composed_from == name
    assert presets.edits() == {}
    written = (project / "params.yaml").read_text(encoding="utf-8")
    assert comments(written) == comments((ROOT / "conf/base.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(written) == presets.compose([name])  # also for a reader of YAML 1.1


def test_drawn_weights_are_those_of_the_sample_alone(project: Path) -> None:
    for name in presets.names():
        extract = presets.compose([name])["extract"]
        drawn = (extract["backbone"], extract["width"], extract["weights"])
        assert (drawn == ("VGG16", 0.25, "drawn")) == (name == "sample")
        assert name == "sample" or extract["width"] == 1.0


def test_drawn_weights_are_available_for_a_folder(project: Path) -> None:
    assert preset("folder", "extract.width=0.25", "extract.weights=drawn").exit_code == 0
    assert params.load().extract.weights == "drawn"


def test_every_key_of_a_section_has_its_comment_or_a_name_that_says_it() -> None:
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    sections = [line for line in lines if re.match(r"\w+:( |$)", line)]
    assert all("#" in line for line in sections)


def test_every_system_has_its_preset(project: Path) -> None:
    systems = "plants mnist digits horses_or_humans cats_vs_dogs driving folder multilabel"
    assert set(systems.split()) <= set(presets.names())


@pytest.mark.parametrize("group", ["data", "model", "augment", "train"])
def test_every_choice_of_a_group_changes_known_parameters_alone(group: str, project: Path) -> None:
    known = config.flatten(presets.compose(["sample"]))
    for path in sorted((project / "conf" / group).glob("*.yaml")):
        composed = presets.compose(["sample", f"{group}={path.stem}"])
        assert set(config.flatten(composed)) == set(known), path


def test_a_preset_is_composed_with_changes_and_says_what_differs(project: Path) -> None:
    output = preset("digits", "augment=sequence", "finetune.epochs=7", "data.path=/mnt/my images")
    assert "  changed   finetune.epochs: 60 -> 7\n" in output.output
    assert "  changed   data.source: sample -> digits\n" in output.output
    written = params.load()
    assert (written.data.source, written.finetune.epochs) == ("digits", 7)
    assert written.data.path == "/mnt/my images"
    assert written.finetune.augment.random_order
    assert "edited" not in preset().output
    assert "digits augment=sequence finetune.epochs=7 'data.path=/mnt/my images'" in preset().output


def test_edits_are_named_and_need_a_decision_without_a_terminal(project: Path) -> None:
    edit(project, "seed: 42  ", "seed: 43  ")
    edit(project, "  epochs: 60", "  epochs: 61")
    before = (project / "params.yaml").read_bytes()
    assert "  edited    seed: 43 (composed: 42)" in preset().output
    with pytest.raises(
        SeedlingsError, match=r"(?s)seed: 43 \(composed: 42\)\n.*epochs: 61 .*--keep"
    ):
        preset("digits")
    assert (project / "params.yaml").read_bytes() == before


def test_edits_are_kept_or_dropped_as_the_user_says(project: Path) -> None:
    edit(project, "seed: 42  ", "seed: 43  ")
    output = preset("digits", "--keep").output
    assert "  kept      seed: 43\n" in output
    assert params.load().seed == 43
    assert params.load().data.source == "digits"
    assert "  edited    seed: 43 (composed: 42)" in preset().output
    assert "seed: 43 -> 42" in preset("digits", "--drop").output
    assert presets.edits() == {}


def test_edits_that_dvc_writes_are_edits_too(project: Path) -> None:
    block = "pixels:      # height and width\n  - 48\n  - 48"
    edit(project, "pixels: [150, 150]      # height and width", block)
    assert presets.edits() == {"segment.pixels": ([48, 48], [150, 150])}
    preset("sample", "--keep")
    assert params.load().segment.pixels == [48, 48]


def test_the_key_on_is_read_with_quotes_and_without_them_as_dvc_writes_it(project: Path) -> None:
    presets.write(["sample", "evaluate.on=validation"])
    assert params.load().evaluate.on == "validation"
    edit(project, '"on": validation', "on: test")
    assert presets.edits() == {"evaluate.on": ("test", "validation")}


def test_what_cannot_be_composed_any_more_is_told_and_can_be_dropped(project: Path) -> None:
    edit(project, "composed_from: sample", "composed_from: flowers")
    with pytest.raises(SeedlingsError, match=r"found 'flowers'.*use --drop"):
        preset("digits")
    preset("digits", "--drop")
    assert params.load().composed_from == "digits"


def test_an_unknown_preset_and_a_bad_change_are_errors_and_change_nothing(project: Path) -> None:
    before = (project / "params.yaml").read_bytes()
    for arguments, message in (
        (["flowers"], r"expected a preset \(.*plants.*\), found 'flowers'"),
        (["sample", "finetune.epohcs=3"], r"conf: sample finetune\.epohcs=3: .*"),
        (["sample", "finetune.epochs=-3"], r"finetune\.epochs: expected greater than or equal"),
        (["sample", "augment=none", "augment=nothing"], r"conf: .*augment"),
    ):
        with pytest.raises(SeedlingsError, match=message):
            presets.write(arguments)
    assert (project / "params.yaml").read_bytes() == before


def test_numbers_and_nothing_are_written_as_every_reader_takes_them(project: Path) -> None:
    presets.write(["sample", "finetune.optimizer.epsilon=1e-9", "extract.center_crop=[96,96]"])
    text = (project / "params.yaml").read_text(encoding="utf-8")
    assert "epsilon: 1.0e-09" in text
    assert "center_crop: [96, 96]" in text
    assert "url: null" in text
