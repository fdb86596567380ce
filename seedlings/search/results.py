"""Results: the best trials of a search, and whether the best is better than the start."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from tabulate import tabulate

from seedlings.errors import SeedlingsError
from seedlings.report import summaries
from seedlings.search import evaluations, experiments, significance, trials
from seedlings.search.evaluations import Evaluation, Score
from seedlings.search.space import Space
from seedlings.search.trials import Trial, Values
from seedlings.tasks import TASKS
from seedlings.tracking import git

_SHOWN = 10  # trials in the table of the command
_LEVEL = 0.05  # a lower p value counts as beyond chance


@dataclass(frozen=True, slots=True)
class Gain:
    """The gain of the best trial over the start, as the mean of the scores of single images."""

    measure: str  # the metric that is the mean score, such as accuracy
    by: float  # greater than 0 if the best trial is better
    is_share: bool  # whether the metric is a share, and the gain is told in points
    p_value: float  # corrected for the choice of the best trial

    @property
    def is_beyond_chance(self) -> bool:
        """Return whether the best trial is better than the start beyond chance."""
        return self.by > 0 and self.p_value < _LEVEL

    def __str__(self) -> str:
        title = summaries.title(self.measure)
        # The score of an image is its negative error if the metric is not a share.
        return (
            f"{100 * self.by:+.1f} points of {title}" if self.is_share else _lower(title, self.by)
        )


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a search.

    `start` and `start_values` are the score and the parameters of the start; `best` and `gain` are
    None as long as no trial has finished. `test` is the score of the best trial on test images, or
    None if it was not computed; `looked` is the number of trials of the search that were evaluated
    on test images. `commits` has the commits of those experiments of the search whose names
    experiments of other commits have, too.
    """

    search: str
    space: Space
    trials: Sequence[Trial]
    start: Score
    start_values: Values
    gain: Gain | None = None
    test: Score | None = None
    looked: int = 1
    commits: Mapping[str, str] = field(default_factory=dict)

    @property
    def ranking(self) -> list[Trial]:
        """Return the finished trials, the best first."""
        return trials.best_first(self.trials, maximize=self.space.maximizes)

    @property
    def best(self) -> Trial | None:
        """Return the best trial, or None if no trial has finished."""
        return next(iter(self.ranking), None)

    @property
    def best_name(self) -> str:
        """Return the name of the best trial; empty if no trial has finished."""
        return self.name(self.best) if self.best else ""

    @property
    def objective(self) -> str:
        """Return the displayed name of the objective, such as macro F1."""
        return summaries.title(_metric(self.space))

    def name(self, trial: Trial) -> str:
        """Return the name of a trial."""
        return trials.name(self.search, trial.number)

    def count(self, state: str) -> int:
        """Return the number of trials in a state, such as pruned."""
        return sum(trial.state == state for trial in self.trials)


def read(
    search: str, space: Space, tried: Sequence[Trial], *, baseline: str = "", looked: int = 1
) -> Result:
    """Return the result of a search, from its trials and its experiments in this repository.

    `baseline` is the commit from which the experiments started. The test score is that of the
    experiment NAME-best, if it has the parameters of the best trial. Finished trials whose
    experiments were removed count as trials without scores. Raises SeedlingsError if the reports of
    the start or of the best trial are absent, or if they are of other images.
    """
    ranking = trials.best_first(tried, maximize=space.maximizes)
    names = [trial.experiment or trials.name(search, trial.number) for trial in ranking]
    first, last = f"{search}-start", f"{search}-best"
    found = evaluations.read([first, *names, last], baseline)
    for name in (first, *names[:1]):
        if name not in found:
            raise SeedlingsError(
                f"expected the reports of {name} in this repository and in DVC's cache, found none"
            )
    start, winner = found[first], found.get(last)
    is_tested = winner and ranking and experiments.has_tested(space, ranking[0], winner.params)
    return Result(
        search=search,
        space=space,
        trials=tuple(tried),
        start=start.score(space),
        start_values=space.active(start.params),
        gain=_gain(start, [found[n] for n in names if n in found], len(tried), space),
        test=winner.score(space) if winner and is_tested else None,
        looked=looked,
        commits={
            e.name: e.commit
            for e in git.experiments()
            if e.baseline == baseline and not e.is_unique
        },
    )


def lines(result: Result) -> Iterator[str]:
    """Yield the lines that show a result in a terminal."""
    ranking = result.ranking[:_SHOWN]
    if ranking:
        total = result.count("finished")
        best = "The only" if total == 1 else f"The best {len(ranking)} of {total}"
        noun = _plural("trial", total)
        yield f"{best} finished {noun}, by {result.objective} on validation images:"
        yield ""
    rows = table(result, ranking)
    yield from tabulate(rows, tablefmt="plain", disable_numparse=True).splitlines()
    yield ""
    yield counts(result)
    yield from sentences(result)
    if result.best:
        yield ""
        for title, command in commands(result).items():
            yield f"{title + ':':<36} {command}"


def table(result: Result, chosen: Sequence[Trial]) -> list[list[str]]:
    """Return the rows of a table of finished trials, below the header and above the start."""
    names = trials.labels([*result.space.parameters])
    rows = [["trial", result.objective, *names.values()]]
    for trial in chosen:
        score = Score(trial.value or 0.0, trial.low, trial.high)
        rows.append([result.name(trial), str(score), *parameters(result.space, trial.values)])
    start = parameters(result.space, result.start_values)
    return [*rows, [f"{result.search}-start", str(result.start), *start]]


def parameters(space: Space, values: Values) -> list[str]:
    """Return the value of each parameter of a space as text; `-` for an inactive one."""
    return [trials.shown(values[key]) if key in values else "-" for key in space.parameters]


def counts(result: Result) -> str:
    """Return how many trials finished, were pruned, failed and are running, as a sentence."""
    total = len(result.trials)
    text = f"{result.count('finished')} of {total} {_plural('trial', total)} finished"
    for state, verb in (("pruned", "pruned"), ("failed", "failed"), ("running", "running")):
        if found := result.count(state):
            text += f", {found} {verb}"
    return f"{text}."


def sentences(result: Result) -> list[str]:
    """Return what the search found, and the test score of the best trial, as sentences."""
    gain = result.gain
    if gain is None:
        return ["No trial has finished, so there is nothing to compare with the start."]
    found = [_verdict(result, gain)]
    if gain.measure != _metric(result.space):
        found.append(
            f"The test compares the {summaries.title(gain.measure)} on single images, which is "
            f"not the objective ({result.objective})."
        )
    if result.test:
        name = f"Test score of {result.best_name}, computed once, for it alone"
        found.append(f"{name}: {result.objective} {result.test}.")
        if result.looked > 1:
            found.append(
                f"Test images have been used for {result.looked} best trials of this search so "
                "far: do not choose between them by their test scores."
            )
    return found


def commands(result: Result) -> dict[str, str]:
    """Return the commands that restore the best trial, by what they do."""
    found = {"restore the trial": result.best_name}
    if result.test:
        found["the same, evaluated on test images"] = f"{result.search}-best"
    return {
        title: f"dvc exp apply {result.commits.get(name, name)}" for title, name in found.items()
    }


def _verdict(result: Result, gain: Gain) -> str:
    name, p_value = result.best_name, f"p = {gain.p_value:.2g}"
    tried = len(result.trials)
    if gain.is_beyond_chance:
        return (
            f"{name} is better than the start beyond chance: {gain}, {p_value}, corrected for "
            f"{tried} {_plural('trial', tried)}."
        )
    return (
        f"{name} is not better than the start beyond chance: {gain}, {p_value}, corrected for the "
        f"choice of the best of {tried} {_plural('trial', tried)}; a larger validation split would "
        "show smaller gains."
    )


def _gain(start: Evaluation, others: Sequence[Evaluation], tried: int, space: Space) -> Gain | None:
    """Return the gain of the first of the other evaluations; None if there are none."""
    if not others:
        return None
    for other in others:
        if not other.predictions.index.equals(start.predictions.index):
            raise SeedlingsError(
                f"expected evaluations of the same images, found others in {other.name} than in "
                f"{start.name}"
            )
    scores = np.array([other.predictions["score"].to_numpy() for other in others])
    own = start.predictions["score"].to_numpy()
    rng, groups = np.random.default_rng(space.seed), evaluations.groups(start)
    return Gain(
        measure=start.measure,
        by=float((scores[0] - own).mean()),
        is_share=TASKS[start.task].main_metric.is_share,
        p_value=significance.corrected_p_value(scores, own, groups, 0, tried=tried, rng=rng),
    )


def _metric(space: Space) -> str:
    return space.objective.partition("/")[2]


def _lower(title: str, by: float) -> str:
    return f"{title} {'lower' if by >= 0 else 'higher'} by {abs(by):.4g}"


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
