"""Parameters: reads params.yaml, and validates its sections.

The model class of a section is in the package of its stage; `seedlings.params` has all sections.
"""

import copy
import difflib
import pkgutil
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from seedlings.config import paths, yaml_files
from seedlings.errors import SeedlingsError

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
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
_TAGS = ("int", "str", "[key]")  # where pydantic's location says which of several types it tried


def one_of(registry: str) -> AfterValidator:
    """Return a check that a text is a key of a registry, `module:NAME`, imported at the check."""

    def check(name: str) -> str:
        names = pkgutil.resolve_name(registry)
        if name not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return name

    return AfterValidator(check)


def chosen_seed(own: int | None, common: int) -> int:
    """Return the seed of a section, or the common one, the parameter `seed`, if it has none."""
    return common if own is None else own


def read() -> Any:
    """Return params.yaml as plain values, unchecked.

    Raises SeedlingsError if the file is missing or not valid YAML.
    """
    return yaml_files.read(paths.PARAMS)


def check(tree: Any, model: type[AnySection], *, file: str = paths.PARAMS.name) -> AnySection:
    """Return a validated instance of `model` from a tree of plain values.

    Raises SeedlingsError that names the file, the full key of each invalid value, the value, and
    what is allowed.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(problem, model) for problem in error.errors()]
        raise SeedlingsError(f"{file}: " + "\n  ".join(lines)) from error


def restrict(section: AnySection, keys: Collection[str]) -> AnySection:
    """Return a copy of a section with only some keys; access to others raises AttributeError.

    `keys` are relative to the section, such as `head.dropout`; the key of an inner section includes
    all of its keys.
    """
    kept: dict[str, Any] = {}
    for name, value in section:
        inner = [key.removeprefix(f"{name}.") for key in keys if key.startswith(f"{name}.")]
        if name in keys or (inner and not isinstance(value, Section)):
            kept[name] = value
        elif inner:
            kept[name] = restrict(value, inner)
    return type(section).model_construct(**kept)


def preset(tree: Mapping[str, Any]) -> str:
    """Return the name of the preset in `composed_from`, or `params` if there is none."""
    return next(iter(str(tree.get("composed_from", "")).split()), "params")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a tree by their full keys, such as `finetune.head.dropout`."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def changed(tree: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a tree of parameters with other values at full keys."""
    found = copy.deepcopy(dict(tree))
    for key, value in values.items():
        *sections, last = key.split(".")
        branch = found
        for section in sections:
            branch = branch[section]
        branch[last] = value
    return found


def hint(name: str, names: Collection[str], prefix: str = "") -> str:
    """Return the end of a message about an unknown name: the most similar one, or all names."""
    if close := similar(name, names, prefix):
        return close
    return f"; there are {', '.join(names)}" if names else ""


def similar(name: str, names: Collection[str], prefix: str = "") -> str:
    """Return the end of a message about an unknown name: the most similar one, if there is one."""
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def section_of(annotation: Any) -> type[Section] | None:
    """Return the class of a section in the annotation of a key, or None for a parameter."""
    types = (annotation, *get_args(annotation))
    return next((t for t in types if isinstance(t, type) and issubclass(t, Section)), None)


def _explain(problem: Any, model: type[Section]) -> str:
    """Return the full key of an invalid value, what is expected, and the value."""
    kind, found = problem["type"], problem["input"]
    location = [str(part) for part in problem["loc"]]
    if kind != "extra_forbidden" and location and location[-1] in _TAGS:
        del location[-1]
    expected = re.sub("^(Input should be|Value error,) ", "", problem["msg"])
    match kind:
        case "extra_forbidden":
            text = f"no such parameter{_suggest(location, model)}"
        case "missing":
            text = "expected a value, found none"
        case "model_type":
            text = f"expected keys with values, found {found!r}"
        case "value_error" if isinstance(found, Mapping):  # a rule of a section says what it found
            text = f"expected {expected}"
        case _:
            text = f"expected {expected}, found {found!r}"
    return f"{'.'.join(location)}: {text}" if location else text


def _suggest(location: Sequence[str], model: type[Section]) -> str:
    """Return the hint for an unknown key, the last in `location`."""
    section = model
    for name in location[:-1]:
        if name in section.model_fields:  # else it is the name of one of several sections
            section = section_of(section.model_fields[name].annotation) or section
    return hint(location[-1], section.model_fields)
