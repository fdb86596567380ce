"""Parameters: params.yaml as one frozen, checked object."""

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from seedlings import layout, pipeline
from seedlings.errors import SeedlingsError

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Rate = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
PositiveShare = Annotated[float, Field(gt=0.0, lt=1.0)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


def _in_order(values: list[float]) -> list[float]:
    if values != sorted(values):
        raise ValueError("the smaller number first")
    return values


Range = Annotated[list[NotNegative], Field(min_length=2, max_length=2), AfterValidator(_in_order)]
Checksum = Annotated[str, Field(pattern=r"^((md5|sha1|sha256|sha512):)?[0-9a-fA-F]{32,128}$")]


TaskName = Literal["multiclass", "binary", "multilabel", "regression"]


class Section(BaseModel):
    """A part of params.yaml: unknown keys and wrong types are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Sample(Section):
    images_per_class: Count
    size: Annotated[int, Field(ge=32, le=1024)]


class Limits(Section):
    files: Count
    bytes: Count


class Index(Section):
    file: str
    path: int | str
    label: int | str
    header: bool
    images: str
    match: Literal["path", "name"]
    ending: str
    separator: str

    @model_validator(mode="after")
    def _names_need_a_header(self) -> Self:
        named = [column for column in (self.path, self.label) if isinstance(column, str)]
        if named and not self.header:
            raise ValueError(f"a column by its number where there is no header, found {named[0]!r}")
        return self


class Data(Section):
    source: Literal["sample", "archive", "folder", "mnist", "digits"]
    path: str
    url: Annotated[str, Field(pattern=r"^https?://.+/.+")] | None
    checksum: Checksum | None
    folder: str | None
    index: Index | None
    on_bad_image: Literal["refuse", "skip"]
    sample: Sample
    limits: Limits


class Split(Section):
    rule: Literal["per_class", "share", "folders"]
    validation_per_class: Count
    validation_share: PositiveShare
    test_share: PositiveShare
    duplicate_distance: Annotated[int, Field(ge=0, le=16)] | None


class Segment(Section):
    method: Literal["excess_green", "color_distance", "none"]
    background: Literal["black", "mean", "dimmed"]
    size: Annotated[list[Annotated[int, Field(ge=8, le=4096)]], Field(min_length=2, max_length=2)]
    empty_below: Share


class Extract(Section):
    backbone: str
    last: str | None
    cut: str
    weights: str
    checksum: Checksum | None
    batch_size: Count
    cropping: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=4, max_length=4)]
    center_crop: Annotated[list[Count], Field(min_length=2, max_length=2)] | None
    grayscale: bool
    scaling: Literal["unit", "signed", "none"]

    @property
    def from_scratch(self) -> bool:
        """Whether there is no backbone: nothing is frozen, and nothing to compute in advance."""
        return self.backbone == "none"

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


class Augment(Section):
    rotation: Annotated[float, Field(ge=0.0, le=180.0)]
    shift: Share
    shear: Share
    zoom: Share
    flip_horizontal: Probability
    flip_vertical: Probability
    crop: Annotated[float, Field(ge=0.0, lt=0.5)]
    random_crop: bool
    blur: NotNegative
    blur_probability: Probability
    contrast: Range
    noise: NotNegative
    noise_per_channel: Probability
    multiply: Range
    multiply_per_channel: Probability
    random_order: bool
    fill: Literal["nearest", "reflect", "black"]


class ConvNet(Section):
    stem_filters: list[Count]
    stem_stride: Count
    filters: list[Count]
    convolutions: Count
    kernel: Count
    padding: Literal["valid", "same"]
    residual: bool
    pool: Count
    batch_normalization: Literal["none", "after_convolution", "after_pool"]
    momentum: Share
    dropout: Share

    @model_validator(mode="after")
    def _residual_blocks_have_no_pool_of_their_own(self) -> Self:
        if self.residual and self.batch_normalization == "after_pool":
            raise ValueError(
                "batch_normalization `after_convolution` or `none` with residual blocks, which "
                "have no pool of their own, found after_pool"
            )
        return self


class Head(Section):
    pooling: Literal["average", "max", "flatten"]
    dense: list[Count]
    batch_normalization: bool
    momentum: Share
    dropout: Share


class Penalty(Section):
    l1: NotNegative
    l2: NotNegative


class Regularization(Section):
    kernel: Penalty
    bias: Penalty
    activity: Penalty


class Optimizer(Section):
    name: Literal["sgd", "adam", "rmsprop", "adamw"]
    learning_rate: Rate
    momentum: Share
    beta_1: Share
    beta_2: Share
    epsilon: Rate
    weight_decay: NotNegative
    average_weights: Share


class Schedule(Section):
    name: Literal["constant", "cosine", "exponential"]
    warmup_epochs: Annotated[int, Field(ge=0)]
    final_share: Annotated[float, Field(gt=0.0, le=1.0)]

    @model_validator(mode="after")
    def _only_cosine_warms_up(self) -> Self:
        if self.warmup_epochs and self.name != "cosine":
            raise ValueError(f"no warmup_epochs with the schedule {self.name}")
        return self


class Unfreeze(Section):
    epochs: Annotated[int, Field(ge=0)]
    learning_rate: Rate


class Finetune(Section):
    epochs: Count
    steps: Count | None
    batch_size: Count
    augment: Augment
    convnet: ConvNet
    head: Head
    regularization: Regularization
    optimizer: Optimizer
    schedule: Schedule
    label_smoothing: Share
    early_stopping: Count | None
    class_weights: Literal["none", "balanced"]
    calibrate: bool
    unfreeze: Unfreeze


class Evaluate(Section):
    bootstrap_samples: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)]
    calibration_bins: Annotated[int, Field(ge=2)]
    tag_threshold: PositiveShare
    mistakes: Count


class Explain(Section):
    filters: dict[str, list[Annotated[int, Field(ge=0)]]] | None
    classes: Count
    steps: Count
    rate: Rate
    class_rate: Rate
    jitter: Annotated[int, Field(ge=0)]
    blur: NotNegative
    images: Count
    smoothgrad_samples: Count
    smoothgrad_noise: Share


class Package(Section):
    unusual_share: Share


class Report(Section):
    title: Annotated[str, Field(min_length=1)]


class Params(Section):
    """All of params.yaml."""

    preset: str
    task: TaskName
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    threads: Annotated[int, Field(ge=1, le=256)]
    data: Data
    split: Split
    segment: Segment
    extract: Extract
    baseline: Baseline
    finetune: Finetune
    evaluate: Evaluate
    package: Package
    explain: Explain
    report: Report

    @model_validator(mode="after")
    def _sections_fit_each_other(self) -> Self:
        if self.task not in ("multiclass", "binary"):
            if self.split.rule == "per_class":
                raise ValueError(
                    f"split.rule `share` or `folders`, as {self.task} has no classes to count by"
                )
            if self.data.index is None:
                raise ValueError(
                    f"data.index to say where the labels are, as folders cannot hold the labels "
                    f"of the task {self.task}"
                )
            if self.finetune.class_weights != "none":
                raise ValueError(f"finetune.class_weights `none`, as {self.task} has no classes")
        if self.data.index is not None and self.split.rule == "folders":
            raise ValueError("split.rule `share` or `per_class`, as data.index names no splits")
        if self.finetune.augment.random_crop and self.extract.center_crop is None:
            raise ValueError(
                "extract.center_crop to say how large the crop is, as finetune.augment.random_crop "
                "is set: training sees it at a random place, prediction at the centre"
            )
        return self


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
    *above, last = map(str, problem["loc"] or [""])
    location = [part for part in above if not _is_union_tag(part)]
    if problem["type"] == "extra_forbidden" or not _is_union_tag(last):
        location.append(last)
    key = ".".join(location)
    match problem["type"]:
        case "value_error" if not key:
            return "expected " + problem["msg"].removeprefix("Value error, ")
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
    return isinstance(part, str) and ("[" in part or "(" in part or part in ("int", "str"))


def _suggest(location: list[str]) -> str:
    section: Any = Params
    for name in location[:-1]:
        annotation = section.model_fields[name].annotation
        section = next((t for t in get_args(annotation) if t is not type(None)), annotation)
    names = list(section.model_fields)
    close = difflib.get_close_matches(location[-1], names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}"
