"""The search space: a YAML file with the parameters to search, the objective and the sampler."""

import difflib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from seedlings import params as all_params
from seedlings.config import params, yaml_files
from seedlings.config.params import Section
from seedlings.errors import SeedlingsError
from seedlings.search.trials import Values, identity
from seedlings.tasks import TASKS

# The parameters of other sections change the images, the numbers of every trial, or pictures only.
_SECTIONS = ("segment", "extract", "finetune")
_DIGITS = 6  # significant digits of a suggested number
_MOST_POINTS = 100_000  # of a grid
_TOO_FINE = "a grid needs `choices`, whole numbers or a `step`"


class Entry(Section):
    """The values of one parameter: numbers in a range, or choices.

    With `when`, the parameter is varied only where other parameters have the given value, or one of
    a list of values; elsewhere it keeps the value of params.yaml.
    """

    range: Any = None
    log: bool = False
    step: Any = None
    choices: Annotated[list[Any], Field(min_length=1)] | None = None
    when: Annotated[dict[str, Any], Field(default_factory=dict)]

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if (self.range is None) == (self.choices is None):
            raise ValueError("either `range` or `choices`")
        if self.choices is not None:
            if self.log or self.step is not None:
                raise ValueError("`log` and `step` only with `range`")
            if len({*map(_text, self.choices)}) < len(self.choices):
                raise ValueError("choices without repetition")
            return self
        if not _are_numbers(self.range, 2) or not self.range[0] < self.range[1]:
            raise ValueError(f"a range [low, high] with low < high, not {self.range}")
        if self.log and (self.range[0] <= 0 or self.step is not None):
            raise ValueError("`log` only with low > 0 and without `step`")
        if self.step is not None:
            self._check_step()
        return self

    def _check_step(self) -> None:
        if not _are_numbers([self.step], 1) or self.step <= 0:
            raise ValueError(f"a `step` greater than 0, not {self.step!r}")
        steps = (self.range[1] - self.range[0]) / self.step
        if round(steps) < 1 or not math.isclose(steps, round(steps), rel_tol=1e-9):
            raise ValueError(f"a `step` that divides the range {self.range}, not {self.step}")

    @property
    def is_whole(self) -> bool:
        """Return whether the values are whole numbers in a range."""
        numbers = [*(self.range or [0.5]), self.step or 1]
        return all(isinstance(number, int) for number in numbers)

    @property
    def points(self) -> list[Any] | None:
        """Return all values, or None for a range without steps."""
        if self.choices is not None:
            return self.choices
        if (not self.is_whole and self.step is None) or self.log:
            return None
        low, high = self.range
        count = round((high - low) / (self.step or 1)) + 1
        return [self.rounded(low + place * (self.step or 1)) for place in range(count)]

    @property
    def extremes(self) -> list[Any]:
        """Return the ends of the range, or all choices."""
        return self.range if self.choices is None else self.choices

    def has(self, value: Any) -> bool:
        """Return whether the value is one of the choices, or in the range."""
        if self.choices is not None:
            return _text(value) in map(_text, self.choices)
        return _are_numbers([value], 1) and bool(self.range[0] <= value <= self.range[1])

    def rounded(self, value: Any) -> Any:
        """Return a suggested value with six significant digits, inside the range."""
        if self.choices is not None or self.is_whole:
            return value
        return min(max(float(f"{value:.{_DIGITS}g}"), self.range[0]), self.range[1])


class Space(Section):
    """A search space. `parameters` has full keys of params.yaml."""

    objective: str
    direction: Literal["maximize", "minimize"]
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["none", "median", "successive_halving", "hyperband"] = "none"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    parameters: Annotated[dict[str, Entry], Field(min_length=1)]

    @property
    def metric(self) -> str:
        """Return the name of the objective among the metrics of the stage evaluate."""
        return f"finetuned/{self.objective.removeprefix('validation/')}"

    @property
    def maximizes(self) -> bool:
        """Return whether a higher objective is better."""
        return self.direction == "maximize"

    def draw(self, choose: Callable[[str, Entry], Any]) -> Values:
        """Return the values that `choose(key, entry)` gives for the active parameters."""
        values: Values = {}
        for key, entry in self.parameters.items():
            if is_active(entry, values):
                values[key] = entry.rounded(choose(key, entry))
        return values

    def active(self, params: Mapping[str, Any]) -> Values:
        """Return the values of the active parameters, from all parameters by full key."""
        values: Values = {}
        for key, entry in self.parameters.items():
            if is_active(entry, values):
                values[key] = params.get(key)
        return values

    def points(self) -> list[Values] | None:
        """Return all different settings in order, or None if there are too many, or no end."""
        found: list[Values] = [{}]
        for key, entry in self.parameters.items():
            points = entry.points
            if points is None or len(found) * len(points) > _MOST_POINTS:
                return None
            found = [
                {**values, key: value} if is_active(entry, values) else values
                for values, value in itertools.product(found, points)
            ]
            found = [*{identity(values): values for values in found}.values()]
        return found


def read(path: Path, tree: Mapping[str, Any]) -> Space:
    """Return the search space in a YAML file, checked against the parameters `tree`.

    Raises SeedlingsError for an unknown key, an impossible range, a value that the parameters
    refuse, and an objective that is no metric on validation images.
    """
    return check(yaml_files.read(path), tree, str(path))


def check(values: Any, tree: Mapping[str, Any], where: str) -> Space:
    """Return the search space of plain values; as `read`, with `where` for the file in messages."""
    space = params.check(values, Space, file=where)
    known = params.flatten(tree)
    problems = [_problem_of_objective(space, tree["task"])]
    for key, entry in space.parameters.items():
        problems.append(_problem_of_key(key, known) or _problem_of_condition(key, entry, space))
    if space.sampler == "grid":
        fine = [key for key, entry in space.parameters.items() if entry.points is None]
        problems += [f"parameters.{key}: expected steps, as {_TOO_FINE}" for key in fine]
    if not any(problems):
        fitted = {k: _fitted(entry, known[k]) for k, entry in space.parameters.items()}
        space = space.model_copy(update={"parameters": fitted})
        problems += _refused(space, tree)
    if found := list(filter(None, problems)):
        raise SeedlingsError(f"{where}: " + "\n  ".join(found))
    return space


def is_active(entry: Entry, values: Values) -> bool:
    """Return whether the conditions of a parameter are true for the values before it."""
    return all(
        key in values and values[key] in (wanted if isinstance(wanted, list) else [wanted])
        for key, wanted in entry.when.items()
    )


def _problem_of_objective(space: Space, task: str) -> str | None:
    metrics = {metric.name: metric for metric in TASKS[task].metrics}
    names = ", ".join(f"validation/{name}" for name in metrics)
    split, _, metric = space.objective.partition("/")
    if split == "test":
        return (
            f"objective: expected a metric on validation images ({names}), found "
            f"{space.objective}: if test images choose the trial, its test score is too high"
        )
    if split != "validation" or metric not in metrics:
        return f"objective: expected one of {names}, found {space.objective!r}"
    wanted = "maximize" if metrics[metric].is_higher_better else "minimize"
    if space.direction != wanted:
        return f"direction: expected {wanted} for {space.objective}, found {space.direction}"
    return None


def _problem_of_key(key: str, known: Mapping[str, Any]) -> str | None:
    where = f"parameters.{key}"
    if key not in known:
        if any(name.startswith(f"{key}.") for name in known):
            return f"{where}: expected a parameter, found a section of parameters"
        close = difflib.get_close_matches(key, known, n=1)
        return f"{where}: no such parameter" + (f"; did you mean {close[0]}?" if close else "")
    if key.partition(".")[0] not in _SECTIONS:
        return (
            f"{where}: expected a parameter of {', '.join(_SECTIONS)}; the results of trials with "
            f"another {key} cannot be compared, or are the same"
        )
    if key.endswith(".seed"):
        return (
            f"{where}: expected a parameter whose best value is no luck, found a seed; "
            "`seedlings repeat` runs several seeds and tells their spread"
        )
    return None


def _problem_of_condition(key: str, entry: Entry, space: Space) -> str | None:
    before = list(space.parameters)[: list(space.parameters).index(key)]
    for other, value in entry.when.items():
        where = f"parameters.{key}.when.{other}"
        if other not in before:
            return f"{where}: expected a parameter before {key} in this file"
        choices = space.parameters[other].choices
        wanted = value if isinstance(value, list) else [value]
        if choices is None or not {*map(_text, wanted)} <= {*map(_text, choices)}:
            return f"{where}: expected one of the choices of {other}, found {value!r}"
    return None


def _fitted(entry: Entry, current: Any) -> Entry:
    """Return an entry with the numbers of a range as floats if the parameter is one."""
    if entry.range is None or not isinstance(current, float):
        return entry
    return entry.model_copy(update={"range": [*map(float, entry.range)]})


def _refused(space: Space, tree: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the parameters refuse of the ends of ranges and of choices."""
    for key, entry in space.parameters.items():
        conditions = {k: v[0] if isinstance(v, list) else v for k, v in entry.when.items()}
        for value in entry.extremes:
            try:
                all_params.check(params.changed(tree, {**conditions, key: value}))
            except SeedlingsError as error:
                yield f"parameters.{key}: {value!r} is refused: {error}"
                break


def _are_numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
        and all(map(math.isfinite, value))
    )


def _text(choice: Any) -> str:
    return identity({"": choice})
