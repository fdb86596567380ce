"""The search space: what is refused, and the settings it has."""

from typing import Any

import pytest
from imports import ROOT
from searches import OPTIMIZER, RATE, TREE, made

from seedlings import presets
from seedlings.errors import SeedlingsError
from seedlings.search import space


@pytest.mark.parametrize(
    ("parameters", "others", "match"),
    [
        ({}, {}, "parameters: expected"),
        ({RATE: {"range": [0.1, 0.1]}}, {}, "low < high"),
        ({RATE: {"range": [0.1, "1"]}}, {}, f"{RATE}.range.1: expected a number, found '1'"),
        ({RATE: {"range": [0.1, float("inf")]}}, {}, "expected a number, found inf"),
        ({RATE: {"range": [0.0, 0.1], "log": True}}, {}, "accepts: `low > 0` must hold for `log"),
        ({RATE: {"range": [0.1, 0.4], "log": True, "step": 0.1}}, {}, "`step` is not supported"),
        ({RATE: {"range": [0.1, 0.4], "step": -0.1}}, {}, "`step > 0` must hold"),
        ({RATE: {"choices": [0.1], "log": True}}, {}, "`log` and `step` only with `range`"),
        ({RATE: {"range": [0.1, 0.4], "step": 0.2}}, {}, "a `step` that divides"),
        ({RATE: {}}, {}, "either `range` or `choices`"),
        ({RATE: {"range": [0.1, 0.2], "choices": [0.1]}}, {}, "either `range` or `choices`"),
        ({RATE: {"choices": [0.1, 0.1]}}, {}, "without repetition"),
        ({RATE: {"rnge": [0.1, 0.2]}}, {}, "rnge: no such parameter; did you mean range"),
        ({"finetune.head.dropot": {"choices": [0.1]}}, {}, "did you mean finetune.head.dropout"),
        ({"finetune.head": {"choices": [0.1]}}, {}, "found a section"),
        ({"seed": {"choices": [1, 2]}}, {}, "expected a parameter of segment, extract, finetune"),
        ({"finetune.seed": {"choices": [1, 2]}}, {}, "found a seed; `seedlings repeat` runs"),
        ({"threads": {"choices": [1, 2]}}, {}, "expected a parameter of segment"),
        ({"evaluate.split": {"choices": ["test"]}}, {}, "expected a parameter of segment|no such"),
        ({RATE: {"range": [-1.0, 1.0]}}, {}, f"{RATE}: -1.0 is refused.*greater than 0"),
        ({OPTIMIZER: {"choices": ["sgd", "adamm"]}}, {}, "'adamm' is refused"),
        ({"finetune.epochs": {"range": [1.5, 2.5]}}, {}, "1.5 is refused.*valid integer"),
        ({RATE: {"range": [0.1, 0.2]}}, {"objective": "test/accuracy"}, "its test score is too hi"),
        ({RATE: {"range": [0.1, 0.2]}}, {"objective": "accuracy"}, "expected one of validation/"),
        ({RATE: {"range": [0.1, 0.2]}}, {"direction": "minimize"}, "expected maximize for"),
        ({RATE: {"range": [0.1, 0.2]}}, {"sampler": "grid"}, "a grid needs `choices`"),
        ({RATE: {"range": [0.1, 0.2], "when": {OPTIMIZER: "sgd"}}}, {}, "expected a parameter bef"),
    ],
)
def test_an_impossible_space_is_refused(
    parameters: dict[str, Any], others: dict[str, Any], match: str
) -> None:
    with pytest.raises(SeedlingsError, match=match):
        made(parameters, **others)


def test_a_text_is_no_space() -> None:
    with pytest.raises(SeedlingsError, match="^space.yaml: expected keys with values, found 'x'$"):
        space.check("x", TREE, "space.yaml")


def test_a_condition_names_a_choice() -> None:
    parameters = {OPTIMIZER: {"choices": ["sgd", "adam"]}}
    parameters[RATE] = {"range": [0.1, 0.2], "when": {OPTIMIZER: "adamw"}}
    with pytest.raises(SeedlingsError, match="expected one of the choices of finetune.optimizer"):
        made(parameters)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(SeedlingsError) as caught:
        made({"seed": {"choices": [1]}, "finetune.nothing": {"choices": [1]}}, objective="loss")
    assert len(str(caught.value).splitlines()) == 3


def test_points_are_all_settings_and_inactive_parameters_are_absent() -> None:
    found = made(
        {
            OPTIMIZER: {"choices": ["sgd", "adam", "adamw"]},
            "finetune.optimizer.momentum": {
                "range": [0.5, 0.9],
                "step": 0.4,
                "when": {OPTIMIZER: ["sgd"]},
            },
            "finetune.epochs": {"range": [1, 3], "step": 2},
        }
    )
    momentum = "finetune.optimizer.momentum"
    assert [*found.settings()] == [
        {OPTIMIZER: "sgd", momentum: 0.5, "finetune.epochs": 1},
        {OPTIMIZER: "sgd", momentum: 0.5, "finetune.epochs": 3},
        {OPTIMIZER: "sgd", momentum: 0.9, "finetune.epochs": 1},
        {OPTIMIZER: "sgd", momentum: 0.9, "finetune.epochs": 3},
        {OPTIMIZER: "adam", "finetune.epochs": 1},
        {OPTIMIZER: "adam", "finetune.epochs": 3},
        {OPTIMIZER: "adamw", "finetune.epochs": 1},
        {OPTIMIZER: "adamw", "finetune.epochs": 3},
    ]
    assert [*made({RATE: {"range": [0.1, 0.2]}}).settings()] == []


def test_a_range_takes_the_type_of_the_parameter() -> None:
    found = made({"finetune.head.dropout": {"range": [0, 0.6], "step": 0.2}})
    assert found.parameters["finetune.head.dropout"].points == [0.0, 0.2, 0.4, 0.6]
    assert found.parameters["finetune.head.dropout"].rounded(0.20000000001) == 0.2
    assert made({RATE: {"range": [1, 2]}}).parameters[RATE].range == [1.0, 2.0]


@pytest.mark.parametrize(("name", "preset"), [("head", "sample"), ("scratch", "digits")])
def test_the_spaces_of_the_project_fit_their_preset(name: str, preset: str) -> None:
    assert [path.stem for path in sorted((ROOT / "spaces").iterdir())] == ["head", "scratch"]
    found = space.read(ROOT / "spaces" / f"{name}.yaml", presets.compose([preset]))
    assert found.metric == "finetuned/accuracy"


def test_lists_are_texts_in_optuna_and_lists_in_the_parameters() -> None:
    found = made(
        {"finetune.head.dense": {"choices": [[], [64]]}, "finetune.epochs": {"range": [1, 3]}}
    )
    values = {"finetune.head.dense": [64], "finetune.epochs": 2}
    params = {"finetune.head.dense": "[64]", "finetune.epochs": 2}
    assert found.active(values) == params
    assert found.values(params) == values
