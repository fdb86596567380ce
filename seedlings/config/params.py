"""Parameters: reads params.yaml, and validates its sections.

The model class of a section is in the package of its stage; `seedlings.params` has all sections.
"""

import difflib
import pkgutil
import re
from collections.abc import Collection, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from seedlings.config import paths, yaml_files
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


class Section(BaseModel):
    """A section of params.yaml: immutable, and invalid with unknown keys or wrong types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


AnySection = TypeVar("AnySection", bound=Section)


def one_of(registry: str) -> AfterValidator:
    """Return a check that a text is a key of a registry, `module:NAME`, imported at the check."""

    def check(name: str) -> str:
        names = pkgutil.resolve_name(registry)
        if name not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return name

    return AfterValidator(check)


def read() -> Any:
    """Return params.yaml as plain values, unchecked.

    Raises SeedlingsError if the file is missing or not valid YAML.
    """
    return yaml_files.read(paths.PARAMS)


def check(
    tree: Any, model: type[AnySection], prefix: str = "", *, file: str = paths.PARAMS.name
) -> AnySection:
    """Return a validated instance of `model` from a tree of plain values.

    `prefix` is the full key of the tree, or "" for all of the file. Raises SeedlingsError that
    names the file, the full key of each invalid value, the value, and what is allowed.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(problem, model, prefix) for problem in error.errors()]
        raise SeedlingsError(f"{file}: " + "\n  ".join(["", *lines]).strip()) from error


def restrict(section: AnySection, keys: Collection[str]) -> AnySection:
    """Return a copy of a section with only some keys; access to others raises AttributeError.

    `keys` are relative to the section, such as `head.dropout`; the key of an inner section includes
    all of its keys.
    """
    kept: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        inner = [key.removeprefix(f"{name}.") for key in keys if key.startswith(f"{name}.")]
        if name in keys:
            kept[name] = value
        elif inner:
            kept[name] = restrict(value, inner) if isinstance(value, Section) else value
    return type(section).model_construct(**kept)


def preset(tree: Mapping[str, Any]) -> str:
    """Return the name of the preset in `composed_from`, or `params` if there is none."""
    return next(iter(str(tree.get("composed_from", "")).split()), "params")


def value_types(key: str, model: type[Section]) -> list[Any]:
    """Return the types that the value of a full key may have, without their constraints.

    The type of a section is its class; a choice of texts is of type str. Raises SeedlingsError,
    with the most similar key, if `model` has no such key.
    """
    found: list[Any] = [model]
    above = ""
    for name in key.split("."):
        section = section_of(found)
        if section is None:
            whole = above.rstrip(".")
            raise SeedlingsError(f"{key}: no such parameter; set the whole value of {whole}")
        found = field_types(section, name)
        if not found:
            hint = _hint(name, list(section.model_fields), above)
            raise SeedlingsError(f"{above}{name}: no such parameter{hint}")
        above += f"{name}."
    return found


def field_types(section: type[Section], name: str) -> list[Any]:
    """Return the types of one key of a section as `value_types` does; none for an unknown key."""
    field = section.model_fields.get(name)
    return [] if field is None else _members(field.annotation)


def section_of(types: Collection[Any]) -> type[Section] | None:
    """Return the class of a section among the types of a key, or None for a parameter."""
    return next((t for t in types if isinstance(t, type) and issubclass(t, Section)), None)


def _members(annotation: Any) -> list[Any]:
    """Return the types in a union, without constraints, and those of the values of a choice."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _members(inner[0])
    if origin is Literal:
        return [type(value) for value in inner]
    if origin in (Union, UnionType):
        return [member for one in inner for member in _members(one)]
    return [annotation]


def did_you_mean(name: str, names: Sequence[str], prefix: str = "") -> str:
    """Return the end of a message about an unknown name: the most similar one, or "" if none is."""
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def _hint(name: str, names: Sequence[str], prefix: str = "") -> str:
    return did_you_mean(name, names, prefix) or f"; there are {', '.join(names)}"


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a tree by their full keys, such as `finetune.head.dropout`."""

    def walk(tree: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for name, value in tree.items():
            if isinstance(value, dict) and value:
                flat |= walk(value, f"{prefix}{name}.")
            else:
                flat[prefix + name] = value
        return flat

    return walk(tree, "")


def _explain(problem: Any, model: type[BaseModel], prefix: str) -> str:
    *above, last = map(str, problem["loc"] or [""])
    location = [part for part in above if not _is_union_tag(part)]
    if problem["type"] == "extra_forbidden" or not _is_union_tag(last):
        location.append(last)
    key = ".".join([*filter(None, [prefix]), *location])
    match problem["type"]:
        case "value_error" if isinstance(problem["input"], Mapping):
            # A rule of several values of a section says what it found of them.
            rule = "expected " + problem["msg"].removeprefix("Value error, ")
            return f"{key}: {rule}" if key else rule
        case "model_type" if not key:
            return f"expected keys with values, found {problem['input']!r}"
        case "extra_forbidden":
            return f"{key}: no such parameter{_suggest(location, model)}"
        case "missing":
            return f"{key}: expected a value, found none"
        case "model_type":
            return f"{key}: expected a section of parameters, found {problem['input']!r}"
        case "float_type" if _is_number(problem["input"]):
            return (
                f"{key}: expected a number, found the text {problem['input']!r}; "
                "write it with a decimal point: 1.0e-3 or 0.001"
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


def _suggest(location: list[str], model: type[BaseModel]) -> str:
    section: Any = model
    for name in location[:-1]:
        if get_origin(section) is dict:  # sections by names that are free
            section = get_args(section)[1]
            continue
        section = section.model_fields[name].annotation
        if get_origin(section) is not dict:
            section = next((t for t in get_args(section) if t is not type(None)), section)
    return _hint(location[-1], list(section.model_fields))
