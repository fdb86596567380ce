from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.stage import cache as run_cache
from imports import ROOT

from seedlings import params as module
from seedlings.config import params as config
from seedlings.config import yaml_files
from seedlings.errors import SeedlingsError
from seedlings.params import Params


def change(tree: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    *sections, last = key.split(".")
    branch = tree
    for section in sections:
        branch = branch[section]
    branch[last] = value
    return tree


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("finetune.epohcs", 3, r"finetune\.epohcs: no such parameter; did you mean epochs\?"),
        ("sede", 3, r"sede: no such parameter; did you mean seed\?"),
        ("finetune.head.wings", 3, r"finetune\.head\.wings: no such parameter; there are pooling,"),
        ("finetune.epochs", -1, r"finetune\.epochs: expected greater than or equal to 1, found -1"),
        ("finetune.epochs", "ten", r"finetune\.epochs: expected a valid integer, found 'ten'"),
        ("finetune.epochs", 1.5, r"finetune\.epochs: expected a valid integer, found 1\.5"),
        ("finetune.epochs", True, r"finetune\.epochs: expected a valid integer, found True"),
        ("baseline.learning_rate", "1e-3", r"expected a valid number, found '1e-3'"),
        ("baseline.learning_rate", 0.0, r"baseline\.learning_rate: expected greater than 0"),
        ("portable", "yes", r"portable: expected a valid boolean, found 'yes'"),
        ("portable", 1, r"portable: expected a valid boolean, found 1"),
        ("segment.method", "green", r"segment\.method: expected 'excess_green', 'color_distance'"),
        ("segment.pixels", [150], r"segment\.pixels: expected List should have at least 2 items"),
        ("segment.pixels", [150, 4], r"segment\.pixels\.1: expected greater than or equal to 8"),
        ("split.test_share", 1.0, r"split\.test_share: expected less than 1, found 1\.0"),
        (
            "data.source",
            "web",
            r"data\.source: expected one of sample, archive, folder, mnist, dig",
        ),
        ("data.url", "https://a.org/b.zip", "data: expected url null, as the source sample does"),
        ("task", "guess", r"task: expected one of multiclass, binary, multilabel, regression"),
        ("task", "regression", r"expected split\.rule `share`, as regression has no"),
        ("finetune.augment.random_crop", True, r"expected extract\.center_crop to say how large"),
        (
            "finetune.augment.contrast",
            [1.5, 0.5],
            r"augment\.contrast: expected the smaller number",
        ),
        (
            "finetune.schedule",
            {"name": "constant", "warmup_epochs": 2, "final_share": 0.1},
            r"finetune\.schedule: expected no warmup_epochs with the schedule constant, found 2$",
        ),
        (
            "finetune.convnet",
            {
                "stem_filters": [],
                "stem_stride": 2,
                "filters": [8],
                "convolutions": 1,
                "kernel": 3,
                "padding": "same",
                "residual": True,
                "pool": 2,
                "batch_normalization": "after_pool",
                "momentum": 0.9,
                "dropout": 0.0,
                "whitened": False,
            },
            r"finetune\.convnet: expected batch_normalization .* with residual blocks",
        ),
        ("data.path", "", r"data\.path: expected a file or folder on this machine, .* found ''"),
        (
            "data.path",
            "https://a.org/b.zip",
            r"data\.path: expected a file or folder on this machine",
        ),
        ("data.url", "ftp://a/b", r"data\.url: "),
        ("data.checksum", "abc", r"data\.checksum: "),
        ("finetune", None, r"finetune: expected keys with values, found None"),
        (
            "extract.weights",
            "vgg.h5",
            r"^params.yaml: extract: expected a checksum of .*checksum\)$",
        ),
        ("baseline.learning_rate", float("inf"), r"baseline\.learning_rate: expected a finite"),
        ("seed", -1, r"seed: expected greater than or equal to 0, found -1"),
    ],
)
def test_a_wrong_value_is_named_with_its_full_key(
    tree: dict[str, Any], key: str, value: Any, message: str
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        module.check(change(tree, key, value))


def test_a_missing_value_is_named(tree: dict[str, Any]) -> None:
    del tree["evaluate"]["mistakes"]
    with pytest.raises(SeedlingsError, match=r"evaluate\.mistakes: expected a value, found none"):
        module.check(tree)


def test_all_that_is_wrong_is_listed(tree: dict[str, Any]) -> None:
    change(tree, "finetune.epochs", 0)
    change(tree, "segment.method", "x")
    with pytest.raises(SeedlingsError, match=r"(?s)segment\.method.*finetune\.epochs"):
        module.check(tree)


def test_an_empty_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("")
    with pytest.raises(SeedlingsError, match=r"params\.yaml"):
        module.load()


def test_a_broken_or_missing_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SeedlingsError, match=r"expected params\.yaml in .*, found none"):
        module.load()
    (tmp_path / "params.yaml").write_text("seed: [1")
    with pytest.raises(SeedlingsError, match=r"params\.yaml: not valid YAML"):
        module.load()


def test_values_are_frozen(params: Params) -> None:
    with pytest.raises(ValueError, match="frozen"):
        params.finetune.epochs = 3  # type: ignore[misc]


def test_a_restricted_section_has_the_declared_keys_alone(params: Params) -> None:
    mine = config.restrict(params.finetune, ["epochs", "head.dropout", "augment"])
    assert (mine.epochs, mine.head.dropout) == (60, 0.3)
    assert mine.augment == params.finetune.augment
    for read in (lambda: mine.batch_size, lambda: mine.head.pooling):
        with pytest.raises(AttributeError):
            read()


def test_flatten_gives_full_keys(params: Params) -> None:
    flat = config.flatten({"seed": 42, "data": params.data.model_dump(), "none": {}})
    assert flat["seed"] == 42
    assert flat["data.sample.side"] == 150
    assert flat["none"] == {}


def test_values_at_full_keys_are_changed_in_a_copy(tree: dict[str, Any]) -> None:
    found = config.changed(tree, {"evaluate.mistakes": 3, "seed": 7})
    assert (found["evaluate"]["mistakes"], found["seed"]) == (3, 7)
    assert (tree["evaluate"]["mistakes"], tree["seed"]) == (24, 42)


@pytest.mark.parametrize("project", [ROOT, ROOT / "pretraining"])
def test_every_parameter_is_in_the_key_of_dvc_s_run_cache(project: Path) -> None:
    # DVC leaves out each key `size` and `nfiles`, at any depth, also in a list.
    def key(values: Any) -> str:
        return run_cache._get_cache_hash({"params": {"params.yaml": values}})

    def changed(values: Any) -> Iterator[Any]:
        """Copies of a tree, each with another value in one place."""
        if not isinstance(values, dict | list) or not values:
            yield "another value"
            return
        places = values if isinstance(values, dict) else range(len(values))
        for place in places:
            for other in changed(values[place]):
                copy = values.copy()
                copy[place] = other
                yield copy

    tree = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    assert key(tree | {"size": 1}) == key(tree)
    others = list(changed(tree))
    assert len(others) > 10
    assert len({key(other) for other in [tree, *others]}) == len(others) + 1


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.1e-2", "1.0e-3", ".1e-2"])
def test_a_number_with_an_exponent_is_a_number(text: str) -> None:
    assert yaml_files.parse(f"a: {text}") == {"a": 0.001}
    assert yaml_files.parse(f"a: '{text}'") == {"a": text}


def test_a_whole_number_may_stand_for_a_rate(tree: dict[str, Any]) -> None:
    assert module.check(change(tree, "baseline.learning_rate", 1)).baseline.learning_rate == 1.0


ANNOTATIONS = {
    "file": "log.csv",
    "path": 0,
    "label": "angle",
    "header": True,
    "images": "IMG",
    "match": "name",
    "ending": "",
    "separator": "",
    "block": None,
}


def test_annotations_are_a_section_of_its_own(tree: dict[str, Any]) -> None:
    tree["data"]["annotations"] = ANNOTATIONS
    assert module.check(tree).data.annotations.file == "log.csv"
    tree["data"]["annotations"] = ANNOTATIONS | {"header": False}
    with pytest.raises(SeedlingsError, match=r"data\.annotations: .*by its number.*found 'angle'"):
        module.check(tree)
    tree["data"]["annotations"] = ANNOTATIONS | {"fiel": 1}
    with pytest.raises(
        SeedlingsError, match=r"data\.annotations\.fiel: no such .* did you mean file"
    ):
        module.check(tree)
    tree["data"]["annotations"] = ANNOTATIONS | {"block": 50}
    assert module.check(tree).data.annotations.block == 50
    tree["data"]["annotations"] |= {"file": None}
    with pytest.raises(SeedlingsError, match=r"data\.annotations: .*file to order the rows"):
        module.check(tree)


def test_shares_leave_training_images(tree: dict[str, Any]) -> None:
    tree["split"] |= {"rule": "share", "test_share": 0.6, "validation_share": 0.4}
    with pytest.raises(SeedlingsError, match=r"split: .*a sum below 1, found 1"):
        module.check(tree)
    tree["split"]["rule"] = "per_class"
    assert module.check(tree).split.validation_share == 0.4


def test_what_a_task_does_not_have_cannot_be_asked_for(tree: dict[str, Any]) -> None:
    tree |= {"task": "regression"}
    tree["split"]["rule"] = "share"
    with pytest.raises(SeedlingsError, match=r"data\.annotations\.file to name the labels"):
        module.check(tree)
    tree["data"]["annotations"] = ANNOTATIONS
    tree["finetune"]["class_weights"] = "balanced"
    with pytest.raises(SeedlingsError, match=r"class_weights `none`, as regression has no classes"):
        module.check(tree)
    tree["finetune"]["class_weights"] = "none"
    assert module.check(tree).task == "regression"
    tree["split"]["rule"] = "folders"
    with pytest.raises(SeedlingsError, match=r"split\.rule `share` or `per_class`"):
        module.check(tree)


@pytest.mark.parametrize("text", ["2001-99-99", "!!int x", "!!bool x", "!!timestamp x", "[" * 3000])
def test_what_a_fuzzer_found_is_no_yaml(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text)
    with pytest.raises(SeedlingsError, match=r"params\.yaml: not valid YAML"):
        config.read()


def test_a_key_with_a_bracket_is_named(tree: dict[str, Any]) -> None:
    with pytest.raises(SeedlingsError, match=r"0\[: no such parameter"):
        module.check({**tree, "0[": None})
