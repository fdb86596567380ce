"""Parameters: params.yaml as one frozen, checked object."""

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from seedlings import layout, pipeline
from seedlings.errors import SeedlingsError

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Rate = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Checksum = Annotated[str, Field(pattern=r"^((md5|sha1|sha256|sha512):)?[0-9a-fA-F]{32,128}$")]


class Section(BaseModel):
    """A part of params.yaml: unknown keys and wrong types are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Sample(Section):
    images_per_class: Count
    size: Annotated[int, Field(ge=32, le=1024)]


class Limits(Section):
    files: Count
    bytes: Count


class Data(Section):
    source: Literal["sample", "archive", "folder"]
    path: str
    url: Annotated[str, Field(pattern=r"^https?://.+/.+")] | None
    checksum: Checksum | None
    folder: str | None
    on_bad_image: Literal["refuse", "skip"]
    sample: Sample
    limits: Limits


class Split(Section):
    rule: Literal["per_class", "folders"]
    validation_per_class: Count
    test_share: Annotated[float, Field(gt=0.0, lt=1.0)]
    duplicate_distance: Annotated[int, Field(ge=0, le=16)] | None


class Segment(Section):
    method: Literal["excess_green", "color_distance", "none"]
    size: Annotated[list[Annotated[int, Field(ge=8, le=4096)]], Field(min_length=2, max_length=2)]
    empty_below: Share


class Extract(Section):
    backbone: str
    cut: str
    weights: str
    checksum: Checksum | None
    batch_size: Count

    @model_validator(mode="after")
    def _own_weights_need_a_checksum(self) -> Self:
        if self.weights not in ("random", "imagenet") and self.checksum is None:
            raise ValueError(
                "with a checksum, as weights is a file: DVC knows it by that alone "
                "(set extract.checksum, or weights to random or imagenet)"
            )
        return self


class Baseline(Section):
    epochs: Count
    batch_size: Count
    learning_rate: Rate


class Head(Section):
    pooling: Literal["average", "max", "flatten"]
    batch_normalization: bool
    momentum: Share
    dropout: Share
    l1: NotNegative
    l2: NotNegative


class Optimizer(Section):
    name: Literal["sgd", "adam", "rmsprop", "adamw"]
    learning_rate: Rate
    momentum: Share
    weight_decay: NotNegative


class Schedule(Section):
    name: Literal["constant", "cosine", "exponential"]
    final_share: Annotated[float, Field(gt=0.0, le=1.0)]


class Unfreeze(Section):
    epochs: Annotated[int, Field(ge=0)]
    learning_rate: Rate


class Finetune(Section):
    epochs: Count
    batch_size: Count
    head: Head
    optimizer: Optimizer
    schedule: Schedule
    early_stopping: Count | None
    class_weights: Literal["none", "balanced"]
    unfreeze: Unfreeze


class Evaluate(Section):
    bootstrap_samples: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)]
    calibration_bins: Annotated[int, Field(ge=2)]
    mistakes: Count


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    threads: Annotated[int, Field(ge=1, le=256)]
    data: Data
    split: Split
    segment: Segment
    extract: Extract
    baseline: Baseline
    finetune: Finetune
    evaluate: Evaluate


def load() -> Params:
    """All parameters. Raises SeedlingsError as `check` does."""
    return check(read())


def read() -> Any:
    """params.yaml as plain values, unchecked. Raises SeedlingsError where it is no YAML."""
    return pipeline.read_yaml(layout.PARAMS)


def parse(text: str) -> Any:
    """The text of some params.yaml as plain values, unchecked."""
    return yaml.safe_load(text)


def only(params: Params, sections: set[str]) -> Params:
    """Some sections of the parameters; reading any other is an AttributeError."""
    kept = {name: getattr(params, name) for name in Params.model_fields if name in sections}
    return Params.model_construct(**kept)


def check(tree: Any) -> Params:
    """A tree of plain values, as YAML gives it, as Params.

    Raises SeedlingsError that names each wrong key in full, its value, and what is allowed.
    """
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        raise SeedlingsError(f"{layout.PARAMS}: " + "\n  ".join(["", *lines]).strip()) from error


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Every value of a tree under its full key, e.g. `finetune.head.dropout`."""

    def walk(tree: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for name, value in tree.items():
            if isinstance(value, dict):
                flat |= walk(value, f"{prefix}{name}.")
            else:
                flat[prefix + name] = value
        return flat

    return walk(tree, "")


def _explain(problem: Any) -> str:
    location = [str(part) for part in problem["loc"] if not _is_union_tag(part)]
    key = ".".join(location)
    match problem["type"]:
        case "extra_forbidden":
            return f"{key}: no such parameter{_suggest(location)}"
        case "missing":
            return f"{key}: expected a value, found none"
        case "model_type":
            return f"{key}: expected a section of parameters, found {problem['input']!r}"
        case "float_type" if _is_number(problem["input"]):
            return (
                f"{key}: expected a number, found the text {problem['input']!r}; "
                "YAML wants a point in it: 1.0e-3 or 0.001"
            )
        case _:
            expected = re.sub("^(Input should be|Value error,) ", "", problem["msg"])
            return f"{key}: expected {expected}, found {problem['input']!r}"


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, str)


def _is_union_tag(part: Any) -> bool:
    return isinstance(part, str) and ("[" in part or "(" in part)


def _suggest(location: list[str]) -> str:
    section: Any = Params
    for name in location[:-1]:
        section = section.model_fields[name].annotation
    names = list(section.model_fields)
    close = difflib.get_close_matches(location[-1], names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}"
