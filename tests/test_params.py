from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.stage import cache as run_cache
from imports import ROOT

from seedlings import params as module
from seedlings.config import params as config
from seedlings.errors import SeedlingsError
from seedlings.params import Params

ANNOTATIONS = {
    "file": "log.csv",
    "encoding": None,
    "delimiter": None,
    "path": 0,
    "label": "angle",
    "header": True,
    "images": "IMG",
    "match": "name",
    "ending": "",
    "separator": "",
    "group": None,
    "block": None,
}
WITHOUT_HEADER = ANNOTATIONS | {"header": False}
GROUPED = {"data.annotations": ANNOTATIONS | {"group": 2}, "data.group": "folder"}
CONSTANT = {"name": "constant", "warmup_epochs": 2, "final_share": 0.1}
BALANCED = {"finetune.class_weights": "balanced"}
RESIDUAL = {
    "finetune.convnet.filters": [8],
    "finetune.convnet.residual": True,
    "finetune.convnet.batch_normalization": "after_pool",
}
POOLED = {"extract.pooling": "average"}
SHARES = {"split.rule": "share", "split.test_share": 0.6, "split.validation_share": 0.4}
TAGS = {"task": "multilabel", "split.rule": "share"}
NUMBERS = {"task": "regression", "split.rule": "share", "data.annotations": ANNOTATIONS}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"finetune.epohcs": 3}, r"finetune\.epohcs: no such parameter; did you mean epochs\?"),
        ({"sede": 3}, r"^params\.yaml: sede: no such parameter; did you mean seed\?"),
        ({"0[": None}, r"0\[: no such parameter; there are composed_from, task,"),
        ({"finetune.head.wings": 3}, r"finetune\.head\.wings: no such .*; there are pooling,"),
        ({"data.annotations.fiel": 1}, r"data\.annotations\.fiel: no such .* did you mean file"),
        ({"finetune.epochs": -1}, r"finetune\.epochs: expected greater than .* to 1, found -1"),
        ({"finetune.epochs": True}, r"finetune\.epochs: expected a valid integer, found True"),
        ({"seed": "1e3"}, r"seed: expected a valid integer, found '1e3'"),
        ({"baseline.learning_rate": float("inf")}, r"learning_rate: expected a finite number"),
        ({"segment.pixels": [150]}, r"segment\.pixels: expected List should have at least 2 items"),
        ({"segment.pixels": [150, 4]}, r"segment\.pixels\.1: expected greater than or equal to 8"),
        ({"finetune": None}, r"finetune: expected keys with values, found None"),
        ({"data.path": ""}, r"data\.path: expected a file or folder on this machine, .* found ''"),
        ({"data.path": "https://a.org/b.zip"}, r"data\.path: expected a file or folder on this"),
        ({"data.source": "web"}, r"data\.source: expected one of sample, archive, folder, mnist,"),
        ({"data.url": "https://a.org/b.zip"}, r"data: expected url null, as the source sample"),
        ({"data.url": "https://a.org/b.zip"}, r"; set data\.source to archive or mnist, or url to"),
        (
            {"data.encoding": "gbk"},
            r"data: expected encoding null, as the source sample .* to archive",
        ),
        (
            {"data.encoding": "hex"},
            r"data\.encoding: expected an encoding of .*cp1252.* found 'hex'",
        ),
        (
            {"data.annotations.encoding": "ü"},
            r"annotations\.encoding: expected an encoding of Python",
        ),
        ({"data.annotations.delimiter": ";"}, r"delimiter: expected 'comma', 'semicolon', 'tab',"),
        (
            {"task": "classes"},
            r"^params\.yaml: task: expected one of multiclass, .* found 'classes'",
        ),
        ({"data.url": "ftp://a/b"}, r"data\.url: "),
        ({"data.checksum": "abc"}, r"data\.checksum: "),
        ({"data.annotations.path": None}, r"data\.annotations\.path: expected a valid integer,"),
        # rules between values of a section
        ({"finetune.augment.contrast": [1.5, 0.5]}, r"contrast: expected the smaller number"),
        ({"finetune.schedule": CONSTANT}, r"schedule: expected no warmup_epochs .*, found 2$"),
        (RESIDUAL, r"finetune\.convnet: expected batch_normalization .* with residual blocks"),
        ({"extract.weights": "vgg.h5"}, r"^params.yaml: extract: expected a checksum of .*\)$"),
        ({"data.annotations": WITHOUT_HEADER}, r"annotations: .*by its number.*found 'angle'"),
        ({"data.annotations.file": "/mnt/a.csv"}, r"file inside the data, .*, found '/mnt/a\.csv'"),
        ({"data.annotations.file": "../a.csv"}, r"file inside the data, .*, found '\.\./a\.csv'"),
        ({"data.annotations.group": 2}, r"file with the column of group 2, found none"),
        (
            {"data.group": "(a"},
            r"data\.group: expected `folder` or a regular expression of Python \(",
        ),
        ({"data.group": ""}, r"data\.group: expected `folder` or a regular .* null, found ''"),
        (GROUPED, r"data: expected group null, as annotations\.group is set, found 'folder'"),
        ({"data.annotations.block": 50}, r"annotations: .*file to order the rows of block 50"),
        (SHARES, r"split: .*a sum below 1, found 1"),
        # rules between sections
        ({"task": "regression"}, r"expected split\.rule `share`, as regression has no"),
        (TAGS, r"data\.annotations\.file to name the labels, .*multilabel"),
        (NUMBERS | BALANCED, r"class_weights `none`, as regression has"),
        (NUMBERS | {"split.rule": "folders"}, r"split\.rule `share` or `per_class`"),
        ({"finetune.augment.random_crop": True}, r"expected extract\.center_crop to say how large"),
        (
            POOLED | {"finetune.convnet.filters": [8]},
            r"convnet without .*, or extract\.pooling `none`",
        ),
        (
            POOLED | {"finetune.head.pooling": "flatten"},
            r"head\.pooling `average`, .*found flatten",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_full_key(
    tree: dict[str, Any], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        module.check(config.changed(tree, values))


def test_the_values_of_every_task_fit_each_other(tree: dict[str, Any]) -> None:
    assert module.check(config.changed(tree, NUMBERS)).task == "regression"
    assert module.check(config.changed(tree, TAGS | {"data.annotations": ANNOTATIONS}))


def test_all_that_is_wrong_is_listed(tree: dict[str, Any]) -> None:
    del tree["evaluate"]["mistakes"]
    values = {"finetune.epochs": 0, "segment.method": "x"}
    with pytest.raises(SeedlingsError) as caught:
        module.check(config.changed(tree, values))
    method, epochs, mistakes = str(caught.value).splitlines()
    assert method.startswith("params.yaml: segment.method: expected 'excess_green', 'color_")
    assert epochs.startswith("  finetune.epochs: expected greater than or equal to 1, found 0")
    assert mistakes == "  evaluate.mistakes: expected a value, found none"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            None,
            r"expected params\.yaml in .*, found none: .* not the root of a Seedlings project",
        ),
        ("", r"^params\.yaml: expected keys with values, found None"),
        ("seed: [1", r"^params\.yaml: not valid YAML"),
    ],
)
def test_a_file_that_is_empty_broken_or_missing_is_an_error(
    text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("params.yaml").write_text(text)
    with pytest.raises(SeedlingsError, match=message):
        module.load()


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
