"""Results: the best trials of a search, and whether the best is better than the start."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial, TrialState
from tabulate import tabulate

from seedlings.config import paths, records
from seedlings.errors import SeedlingsError
from seedlings.report import summaries
from seedlings.search import experiments, significance, trials
from seedlings.search.space import Space
from seedlings.search.study import Study
from seedlings.search.trials import Params
from seedlings.tasks import TASKS, Metric
from seedlings.tracking import comparisons, git, revisions
from seedlings.tracking.revisions import Revision

_SHOWN = 10  # trials in the table of the command
_LEVEL = 0.05  # a lower p value counts as beyond chance
Metrics = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Gain:
    """The gain of the best trial over the start, as the mean of the scores of single images."""

    metric: Metric  # that is the mean score, such as the accuracy
    by: float  # greater than 0 if the best trial is better
    p_value: float  # corrected for the choice of the best trial

    def __str__(self) -> str:
        if self.metric.is_share:
            return f"{100 * self.by:+.1f} points of {self.metric.title}"
        # The score of an image is its negative error.
        return f"{self.metric.title} {'lower' if self.by >= 0 else 'higher'} by {abs(self.by):.4g}"


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a search.

    `start` and `start_params` are the metrics and the parameters of the start. `gain` is None as
    long as no trial has finished. `test` has the metrics of the best trial on test images, or is
    None if they were not computed; `looked` is the number of trials of the search that were
    evaluated on test images. `commands` restore the best trial, by what they do.
    """

    search: str
    space: Space
    trials: Sequence[FrozenTrial]
    start: Metrics
    start_params: Params
    gain: Gain | None = None
    test: Metrics | None = None
    looked: int = 1
    commands: Mapping[str, str] = field(default_factory=dict)

    @property
    def ranking(self) -> list[FrozenTrial]:
        """Return the finished trials, the best first."""
        return trials.best_first(self.trials, maximize=self.space.maximizes)

    @property
    def objective(self) -> str:
        """Return the displayed name of the objective, such as macro F1."""
        return summaries.title(self.space.objective.partition("/")[2])

    def name(self, trial: FrozenTrial) -> str:
        """Return the name of a trial."""
        return trials.name(self.search, trial.number)

    def score(self, metrics: Metrics) -> str:
        """Return the objective with its interval as text."""
        return summaries.text(metrics, self.space.metric, has_interval=True)


def read(study: Study) -> Result:
    """Return the result of a search, from its trials and its experiments in this repository.

    The test score is that of the experiment NAME-best, if it has the parameters of the best trial.
    Finished trials without reports count as trials without scores. Raises SeedlingsError if the
    reports of the start or of the best trial are absent, or if they are of other images.
    """
    space = study.space
    start = revisions.at(f"{study.name}-start", study.commit)
    commands, test, gain = {}, None, None
    if best := study.best:
        first = revisions.at(best.user_attrs["experiment"])
        gain = _gain(study, start, first)
        commands["restore the trial"] = first.restore
    winner = git.commits_of(study.commit).get(f"{study.name}-best")
    if best and winner:
        tested = revisions.at(winner)
        if experiments.has_tested(space, best.params, tested.params):
            test = _metrics(tested)
            commands["the same, evaluated on test images"] = tested.restore
    return Result(
        search=study.name,
        space=space,
        trials=study.trials,
        start=_metrics(start),
        start_params=space.active(start.params),
        gain=gain,
        test=test,
        looked=len(study.tested),
        commands=commands,
    )


def lines(result: Result) -> Iterator[str]:
    """Yield the lines that show a result in a terminal."""
    total = len(result.ranking)
    ranking = result.ranking[:_SHOWN]
    if ranking:
        best = "The only" if total == 1 else f"The best {len(ranking)} of {total}"
        noun = _plural("trial", total)
        yield f"{best} finished {noun}, by {result.objective} on validation images:"
        yield ""
    rows = table(result, ranking)
    yield from tabulate(rows, tablefmt="plain", disable_numparse=True).splitlines()
    yield ""
    yield counts(result)
    yield from sentences(result)
    if ranking:
        yield ""
    for title, command in result.commands.items():
        yield f"{title + ':':<36} {command}"


def table(result: Result, chosen: Sequence[FrozenTrial]) -> list[list[str]]:
    """Return the rows of a table of finished trials, below the header and above the start."""
    names = trials.labels([*result.space.parameters])
    rows = [["trial", result.objective, *names.values()]]
    for trial in chosen:
        score = result.score(trial.user_attrs["metrics"])
        rows.append([result.name(trial), score, *parameters(result.space, trial.params)])
    start = parameters(result.space, result.start_params)
    return [*rows, [f"{result.search}-start", result.score(result.start), *start]]


def parameters(space: Space, found: Params) -> list[str]:
    """Return the value of each parameter of a space as text; `-` for an inactive one."""
    return [trials.shown(found[key]) if key in found else "-" for key in space.parameters]


def counts(result: Result) -> str:
    """Return how many trials finished, were pruned, failed and are running, as a sentence."""
    states = [trial.state for trial in result.trials]
    total = len(states)
    text = f"{states.count(TrialState.COMPLETE)} of {total} {_plural('trial', total)} finished"
    for state, verb in (
        (TrialState.PRUNED, "pruned"),
        (TrialState.FAIL, "failed"),
        (TrialState.RUNNING, "running"),
    ):
        if found := states.count(state):
            text += f", {found} {verb}"
    return f"{text}."


def sentences(result: Result) -> list[str]:
    """Return what the search found, and the test score of the best trial, as sentences."""
    gain = result.gain
    if gain is None:
        return ["No trial has finished, so there is nothing to compare with the start."]
    best = result.name(result.ranking[0])
    found = [_verdict(best, gain, len(result.trials))]
    if gain.metric.title != result.objective:
        found.append(
            f"The test compares the {gain.metric.title} on single images, which is not the "
            f"objective ({result.objective})."
        )
    if result.test:
        score = f"{result.objective} {result.score(result.test)}"
        found.append(f"Test score of {best}, computed once, for it alone: {score}.")
        if result.looked > 1:
            found.append(
                f"Test images have been used for {result.looked} best trials of this search so "
                "far: do not choose between them by their test scores."
            )
    return found


def _verdict(best: str, gain: Gain, tried: int) -> str:
    noun = _plural("trial", tried)
    if gain.by > 0 and gain.p_value < _LEVEL:
        return (
            f"{best} is better than the start beyond chance: {gain}, p = {gain.p_value:.2g}, "
            f"corrected for {tried} {noun}."
        )
    return (
        f"{best} is not better than the start beyond chance: {gain}, p = {gain.p_value:.2g}, "
        f"corrected for the choice of the best of {tried} {noun}; a larger validation split would "
        "show smaller gains."
    )


def _gain(study: Study, start: Revision, best: Revision) -> Gain:
    """Return the gain of the best trial, given all finished ones."""
    own, scores = _scores(start), [_scores(best)]
    for trial in trials.finished(study.trials):
        commit = trial.user_attrs["experiment"]
        with suppress(SeedlingsError):
            if commit != best.commit:
                scores.append(_scores(revisions.at(commit)))
    if any(not found.index.equals(own.index) for found in scores):
        raise SeedlingsError(
            f"expected evaluations of the same images, found others in trials of {study.name} "
            f"than in {start.name}"
        )
    table = comparisons.table(start).set_index("path")
    return Gain(
        metric=TASKS[start.params["task"]].main_metric,
        by=float((scores[0] - own).mean()),
        p_value=significance.corrected_p_value(
            np.array(scores),
            own.to_numpy(),
            table["group"].loc[own.index].to_numpy(),
            tried=len(study.trials),
            rng=np.random.default_rng(study.space.seed),
        ),
    )


def _scores(revision: Revision) -> pd.Series:
    """Return the score of each evaluated image; higher is better."""
    return comparisons.predictions(revision)["score"]


def _metrics(revision: Revision) -> Metrics:
    record = paths.record("evaluate")
    with revision.files([record]) as folder:
        return records.read(folder / record).metrics


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
