"""The search space: a YAML file with the parameters to search, the objective and the sampler."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import AfterValidator, Field, model_validator

from seedlings import params as all_params
from seedlings.config import params, yaml_files
from seedlings.config.params import Section
from seedlings.errors import SeedlingsError
from seedlings.search.trials import Params
from seedlings.tasks import TASKS

# The parameters of other sections change the images, the numbers of every trial, or pictures only.
_SECTIONS = ("segment", "extract", "finetune")
_DIGITS = 6  # significant digits of a suggested number


def _is_number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a number")
    return value


Number = Annotated[Any, AfterValidator(_is_number)]  # whole numbers remain whole


class Entry(Section):
    """The distribution of one parameter: numbers in a range, or choices.

    With `when`, the parameter is varied only where other parameters have the given value, or one of
    a list of values; elsewhere it keeps the value of params.yaml.
    """

    range: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    log: bool = False
    step: Number | None = None
    choices: Annotated[list[Any], Field(min_length=1)] | None = None
    when: Annotated[dict[str, Any], Field(default_factory=dict)]

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if (self.range is None) == (self.choices is None):
            raise ValueError("either `range` or `choices`")
        if self.range is None:
            self._check_choices()
        else:
            self._check_range(*self.range)
        return self

    def _check_choices(self) -> None:
        if self.log or self.step is not None:
            raise ValueError("`log` and `step` only with `range`")
        if len({*self.options}) < len(self.options):
            raise ValueError("choices without repetition")

    def _check_range(self, low: float, high: float) -> None:
        if low >= high:
            raise ValueError(f"a range [low, high] with low < high, not {self.range}")
        # Optuna would lower the highest value, with a warning.
        if self.step and abs(math.remainder(high - low, self.step)) > 1e-9 * abs(self.step):
            raise ValueError(f"a `step` that divides the range {self.range}, not {self.step}")
        try:
            _ = self.distribution
        except ValueError as error:
            raise ValueError(f"a range that Optuna accepts: {error}") from error

    @property
    def distribution(self) -> BaseDistribution:
        """Return the distribution in Optuna."""
        if self.range is None:
            return CategoricalDistribution(self.options)
        low, high = self.range
        if all(isinstance(number, int) for number in (low, high, self.step or 0)):
            step = 1 if self.step is None else self.step
            return IntDistribution(low, high, log=self.log, step=step)
        return FloatDistribution(low, high, log=self.log, step=self.step)

    @property
    def ends(self) -> list[Any]:
        """Return the ends of the range, or all choices."""
        return self.range or self.choices or []

    @property
    def options(self) -> list[Any]:
        """Return the choices as Optuna has them."""
        return [_primitive(choice) for choice in self.choices or []]

    @property
    def points(self) -> Sequence[Any] | None:
        """Return all values as Optuna has them, or None for a range without steps."""
        found = self.distribution
        if isinstance(found, IntDistribution):
            return range(found.low, found.high + 1, found.step)
        if not isinstance(found, FloatDistribution):
            return self.options
        if found.step is None:
            return None
        count = round((found.high - found.low) / found.step) + 1
        return [self.rounded(found.low + place * found.step) for place in range(count)]

    def rounded(self, value: Any) -> Any:
        """Return a suggested value; a number has six significant digits, inside the range."""
        found = self.distribution
        if not isinstance(found, FloatDistribution):
            return value
        return min(max(float(f"{value:.{_DIGITS}g}"), found.low), found.high)


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

    def active(self, values: Mapping[str, Any]) -> Params:
        """Return the active parameters as Optuna has them, from all values by full key."""
        found: Params = {}
        for key, entry in self.parameters.items():
            if is_active(entry, found):
                found[key] = _primitive(values.get(key))
        return found

    def values(self, active: Params) -> dict[str, Any]:
        """Return the parameters of a trial as params.yaml has them."""
        found = dict(active)
        for key in active:
            if choices := self.parameters[key].choices:
                found[key] = choices[self.parameters[key].options.index(active[key])]
        return found

    def trial(self, active: Params, state: TrialState = TrialState.RUNNING) -> FrozenTrial:
        """Return a trial. Raises ValueError for a value that the space does not have."""
        known = {key: self.parameters[key].distribution for key in active}
        return create_trial(state=state, params=active, distributions=known)

    def settings(self) -> Iterator[Params]:
        """Yield all settings in order, but for those with a value of a range without steps."""
        found: Iterator[Params] = iter([{}])
        for key, entry in self.parameters.items():
            found = _varied(found, key, entry)
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
        expected = "expected steps, as a grid needs `choices`, whole numbers or a `step`"
        problems += [f"parameters.{key}: {expected}" for key in fine]
    if not any(problems):
        fitted = {k: _fitted(entry, known[k]) for k, entry in space.parameters.items()}
        space = space.model_copy(update={"parameters": fitted})
        problems += _refused(space, tree)
    if found := list(filter(None, problems)):
        raise SeedlingsError(f"{where}: " + "\n  ".join(found))
    return space


def is_active(entry: Entry, before: Params) -> bool:
    """Return whether the conditions of a parameter are true for the parameters before it."""
    return all(key in before and before[key] in _wanted(entry, key) for key in entry.when)


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
        return f"{where}: no such parameter{params.similar(key, known)}"
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
        if not {*_wanted(entry, other)} <= {*space.parameters[other].options}:
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
        for value in entry.ends:
            try:
                all_params.check(params.changed(tree, {**conditions, key: value}))
            except SeedlingsError as error:
                yield f"parameters.{key}: {value!r} is refused: {error}"
                break


def _varied(found: Iterator[Params], key: str, entry: Entry) -> Iterator[Params]:
    """Yield each setting with each value of a parameter, or unchanged where it is inactive."""
    points = entry.points or []
    for values in found:
        if not is_active(entry, values):
            yield values
            continue
        for value in points:
            yield {**values, key: value}


def _wanted(entry: Entry, key: str) -> list[Any]:
    """Return the values of another parameter, as Optuna has them, for which one is active."""
    value = entry.when[key]
    return [_primitive(each) for each in (value if isinstance(value, list) else [value])]


def _primitive(value: Any) -> Any:
    """Return a value as Optuna has it, which advises against choices that are lists."""
    return json.dumps(value) if isinstance(value, list | dict) else value
