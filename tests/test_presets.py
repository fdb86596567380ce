"""Presets: conf/ composed into params.yaml, with a comment for every key."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from dvc.utils.hydra import apply_overrides
from imports import ROOT

from seedlings import cli, params, presets
from seedlings.config import params as config
from seedlings.errors import SeedlingsError

SELECTED = "groups: {data: folder, model: vgg16, augment: none, train: head}"


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


def test_the_parameters_in_git_are_what_the_default_preset_writes(project: Path) -> None:
    committed = (project / "params.yaml").read_bytes()
    (project / "params.yaml").unlink()
    presets.write(["sample"])
    assert (project / "params.yaml").read_bytes() == committed


@pytest.mark.parametrize("name", [path.stem for path in (ROOT / "conf/preset").glob("*.yaml")])
def test_every_preset_is_valid_and_keeps_every_comment(name: str, project: Path) -> None:
    presets.write([name])
    assert config.preset(config.read()) == name
    assert params.load().composed_from == name
    assert presets.edits(config.read()) == {}
    written = (project / "params.yaml").read_text(encoding="utf-8")
    assert comments(written) == comments((ROOT / "conf/base.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(written) == presets.compose([name])  # also for a reader of YAML 1.1


@pytest.mark.parametrize("name", presets.names())
def test_a_change_by_dvc_is_one_line_of_params_yaml(name: str, project: Path) -> None:
    presets.write([name, "report.title=" + "a long title " * 9])
    before = (project / "params.yaml").read_text(encoding="utf-8").splitlines()
    apply_overrides("params.yaml", ["seed=43"])  # what `dvc exp run -S seed=43` calls
    after = (project / "params.yaml").read_text(encoding="utf-8").splitlines()
    [(old, new)] = [lines for lines in zip(before, after, strict=True) if lines[0] != lines[1]]
    assert old.replace("42", "43") == new


@pytest.mark.parametrize(
    "path", sorted((ROOT / "conf/preset").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_preset_opens_with_what_it_is_its_command_its_time_and_its_score(path: Path) -> None:
    header = path.read_text(encoding="utf-8").partition("\ngroups:")[0]
    lines = header.splitlines()
    assert all(line.startswith("#") for line in lines)
    assert lines[2].startswith(f"#     seedlings preset {path.stem}")
    assert lines[2].endswith(" && dvc repro")
    assert "\n# Time on two cores: " in header
    assert "\n# Score: " in header


def test_synthetic_weights_are_those_of_the_sample_alone(project: Path) -> None:
    for name in presets.names():
        extract = presets.compose([name])["extract"]
        assert (extract["weights"] == "synthetic") == (name == "sample")
        assert name == "sample" or extract["width"] == 1.0


@pytest.mark.parametrize("group", ["data", "model", "augment", "train"])
def test_every_choice_of_a_group_changes_known_parameters_alone(group: str, project: Path) -> None:
    known = config.flatten(presets.compose(["sample"])).keys()
    for path in sorted((project / "conf" / group).glob("*.yaml")):
        composed = presets.compose(["sample", f"{group}={path.stem}"])
        assert config.flatten(composed).keys() == known, path


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


def test_an_address_is_that_of_an_archive(project: Path) -> None:
    address = "data.url=https://example.org/a.zip?dl=1"
    assert presets.compose(["folder", address])["data"]["source"] == "archive"
    assert presets.compose(["mnist", address])["data"]["source"] == "mnist"
    assert presets.compose(["folder", address, "data.source=folder"])["data"]["source"] == "folder"


def test_the_label_of_parameters_is_their_preset_and_what_was_edited(project: Path) -> None:
    presets.write(["digits", "seed=7"])
    tree = config.read()
    assert presets.label(tree) == ("digits", "")
    changed = config.changed(tree, {"seed": 8, "finetune.epochs": 3})
    assert presets.label(changed) == ("digits", "seed=8, finetune.epochs=3")
    assert presets.label({**tree, "composed_from": "gone"}) == ("gone", "")


def test_edits_need_a_decision_without_a_terminal(project: Path) -> None:
    edit(project, "seed: 42  ", "seed: 43  ")
    edit(project, "  epochs: 60", "  epochs: 61")
    before = (project / "params.yaml").read_bytes()
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
    assert presets.edits(config.read()) == {}


def test_an_edit_of_the_filters_is_one_value_that_can_be_kept(project: Path) -> None:
    edit(project, "  filters:       ", "  filters: {block1_conv1: [3]}  ")
    assert presets.edits(config.read()) == {"explain.filters": ({"block1_conv1": [3]}, None)}
    preset("plants", "--keep")
    assert params.load().explain.filters == {"block1_conv1": [3]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", r"expected the arguments of `seedlings preset` in composed_from, found None"),
        ('composed_from: "sample \'report"', "composed_from: sample 'report: No closing quotation"),
        ("composed_from: ''", "preset: expected a file"),
        ("composed_from: flowers", r"preset: expected .*conf/preset \(cats.*\), found 'flowers'"),
        ("composed_from: sample\ndata: {pth: a}", r"data\.pth: .* did you mean data\.path"),
    ],
)
def test_a_file_that_is_not_composed_is_told_and_can_be_dropped(
    text: str, reason: str, project: Path
) -> None:
    (project / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SeedlingsError, match=rf"(?s)cannot be compared .*{reason}.*use --drop"):
        preset("digits")
    preset("digits", "--drop")
    assert params.load().composed_from == "digits"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("finetune.epochs", r"^expected GROUP=FILE or KEY=VALUE, found 'finetune\.epochs'"),
        ("=3", r"^expected GROUP=FILE or KEY=VALUE, found '=3'"),
        ("finetune.epohcs=3", r"^finetune\.epohcs: .* did you mean finetune\.epochs\?$"),
        ("+data.path=x", r"^\+data: no such parameter; did you mean data\?$"),
        ("data.wings=3", r"^data\.wings: no such parameter; there are source, path, url"),
        ("data.path.x=3", r"^data\.path\.x: no such parameter$"),
        ("data=flder", r"^data: expected .*conf/data \(cats.*folder.*\), found 'flder'; did you"),
        ("data=flder", r"; did you mean data=folder\?$"),
        ("data=xyz", r"^data: expected .*conf/data \(cats.*folder.*\), found 'xyz'$"),
        ("modle=vgg16", r"^modle: no such parameter; did you mean model\?$"),
        ("data.pth=/x", r"^data\.pth: no such parameter; did you mean data\.path\?$"),
        (
            "data.url=https://example.org/a.zip?dl=1",
            r"expected url null, as the source sample .*; set data\.source to archive or mnist, or",
        ),
        ("segment=none", r"^segment: expected keys with values \(method, .*found 'none'"),
        ("segment={pxels: 3}", r"^segment\.pxels: .* did you mean segment\.pixels\?$"),
        ("segment.pixels=[96", r"^segment\.pixels: found '\[96', which is not valid YAML"),
        ("finetune.epochs=-3", r"finetune\.epochs: expected greater than or equal"),
        ("composed_from=x", r"^composed_from: .* `seedlings preset` writes this one"),
        ("data.path=a\nb", r"^data\.path: expected .* control characters, found 'a\\nb'"),
        ("data.path=\udce9t", r"^data\.path: expected text in UTF-8, found b'\\xe9t'"),
    ],
)
def test_an_unknown_name_or_a_wrong_value_is_an_error_and_changes_nothing(
    change: str, message: str, project: Path
) -> None:
    before = (project / "params.yaml").read_bytes()
    with pytest.raises(SeedlingsError, match=message):
        presets.write(["sample", change])
    assert (project / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flder", r"^preset: expected .*, found 'flder'; did you mean folder\?$"),
        ("data.path=/x", r"^expected the name of a preset first, found 'data\.path=/x'$"),
    ],
)
def test_an_unknown_preset_is_named(name: str, message: str, project: Path) -> None:
    with pytest.raises(SeedlingsError, match=message):
        presets.write([name, "folder"])


def test_outside_a_project_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        SeedlingsError, match=r"conf/base\.yaml in .*not the root of a Seedlings pro"
    ):
        preset("sample")


def test_a_path_at_which_nothing_is_yet_is_told(project: Path) -> None:
    (project / "images").mkdir()
    told = "expected a file or folder at {}, found none; `dvc repro` fails until it is there\n"
    assert preset("folder", "data.path=images").stderr == ""
    assert preset("folder", "data.path=/no/where").stderr == "data.path: " + told.format(
        "/no/where"
    )
    below = project / "images" / "train"
    assert preset("folder", "data.path=images", "data.folder=train").stderr == (
        "data.folder: " + told.format(below)
    )


def test_a_cache_with_which_the_queue_of_dvc_fails_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project / "Möhren-项目"
    shutil.copytree(project / "conf", folder / "conf")
    shutil.copytree(ROOT / "data" / "incoming", folder / "data" / "incoming")
    (folder / ".dvc").mkdir()
    monkeypatch.chdir(folder)
    assert re.fullmatch(
        "DVC fails to run `dvc queue start` .*not ASCII, found /.*Möhren-项目.*; set another .*\n",
        preset("sample").stderr,
    )
    (folder / ".dvc" / "config.local").write_text("[cache]\ndir = /mnt/cache\n")
    assert preset("sample").stderr == ""


def test_the_folder_of_the_user_is_part_of_a_path(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    presets.write(["folder", "data.path=~/my images", "report.title=~"])
    assert params.load().data.path == "/home/me/my images"
    assert params.load().report.title == "~"
    monkeypatch.setenv("HOME", "/home/you")
    assert presets.edits(config.read()) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.path", "/mnt/图片 (1), R&D"),
        ("data.path", "/mnt/${data.url}/{a}"),
        ("data.path", "C:\\images\\o'brien"),
        ("data.path", " /mnt/ends with a blank "),
        ("data.folder", "1e3"),
        ("data.folder", ""),
        ("extract.backbone", "on"),
        ("data.annotations.separator", "null"),
        ("data.annotations.separator", "="),
        ("data.annotations.label", "007"),
    ],
)
def test_a_text_is_written_as_it_is_typed(key: str, value: str, project: Path) -> None:
    presets.write(["plants", f"{key}={value}"])
    text = (project / "params.yaml").read_text(encoding="utf-8")
    assert config.flatten(yaml.safe_load(text))[key] == value
    assert config.flatten(params.load().model_dump())[key] == value
    assert presets.edits(config.read()) == {}


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("data.folder=null", None),
        ("data.annotations.label=3", 3),
        ("data.annotations.label=-1", -1),
        ("finetune.early_stopping=null", None),
        ("finetune.head.batch_normalization=True", True),
        ("finetune.optimizer.learning_rate=1e-3", 0.001),
        ("segment.pixels=[96,128]", [96, 128]),
        ("explain.filters={block1_conv1: [0]}", {"block1_conv1": [0]}),
    ],
)
def test_other_values_are_read_as_yaml(change: str, value: Any, project: Path) -> None:
    composed = presets.compose(["plants", change])
    for name in change.partition("=")[0].split("."):
        composed = composed[name]
    assert composed == value
    assert type(composed) is type(value)


def test_later_values_replace_earlier_ones_and_sections_keep_their_other_keys(
    project: Path,
) -> None:
    head = ["finetune.head={dropout: 0.2, pooling: max}", "finetune.head.dropout=0.4"]
    composed = presets.compose(["plants", "finetune.epochs=7", *head, "train=rmsprop"])
    finetune = composed["finetune"]
    assert finetune["batch_size"] == 128  # of the file
    assert finetune["epochs"] == 7  # a key replaces the value of a file, also before it
    assert (finetune["head"]["pooling"], finetune["head"]["dropout"]) == ("max", 0.4)
    assert finetune["head"]["batch_normalization"] is False  # of the preset


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", r"^conf/preset/mine\.yaml: expected `groups` with one file of each group \(data,"),
        ("groups: {data: folder}", "expected `groups` .*, found {'data': 'folder'}"),
        (f"{SELECTED}\ndata: {{pth: a}}", r"mine\.yaml: data\.pth: .* did you mean data\.path"),
        (f"{SELECTED}\ndata: folder", r"mine\.yaml: data: expected keys with values \(source,"),
        (f"{SELECTED}\nseed: 1\nseed: 2", r"mine\.yaml: .*duplicate key .* \(line 3, column 1\)"),
        (
            SELECTED.replace("head", "haed"),
            r"mine\.yaml: groups\.train: .*\(adam, all_layers, head.*haed",
        ),
        ("a text", r"mine\.yaml: expected keys with values, found 'a text'"),
    ],
)
def test_a_wrong_preset_is_named_with_its_key(text: str, message: str, project: Path) -> None:
    (project / "conf" / "preset" / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SeedlingsError, match=message):
        presets.write(["mine"])
