"""Experiments of repeats: their names, and the result of each seed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seedlings.config import params, paths, records
from seedlings.errors import SeedlingsError
from seedlings.report import summaries
from seedlings.tasks import TASKS, Metric
from seedlings.tracking import git, revisions

SEEDS = ("split.seed", "finetune.seed")
_RECORDS = (paths.record("evaluate"), paths.record("split"))


@dataclass(frozen=True, slots=True)
class Repeat:
    """The result of one seed."""

    seed: int
    params: Mapping[str, Any]  # by full keys
    metrics: Mapping[str, float]  # of the stage evaluate
    training: int  # number of training images
    images: str  # DVC's hash of the downloaded images
    split: str  # DVC's hash of the split table

    def value(self, metric: Metric) -> float:
        """Return a metric of the fine-tuned model."""
        return self.metrics[f"finetuned/{metric.name}"]


@dataclass(frozen=True, slots=True)
class Repeats:
    """The results of all seeds of one name, by ascending seed."""

    name: str
    results: tuple[Repeat, ...]

    @property
    def seeds(self) -> list[int]:
        """Return the seeds."""
        return [result.seed for result in self.results]

    @property
    def task(self) -> str:
        """Return the name of the task."""
        return str(self.results[0].params["task"])

    @property
    def split(self) -> str:
        """Return the evaluated split: `test` or `validation`."""
        return summaries.split(self.results[0].params)

    @property
    def metrics(self) -> list[Metric]:
        """Return the main metric of the task and, for classes, the log loss."""
        main, *others = TASKS[self.task].metrics
        return [main, *(metric for metric in others if metric.name == "log_loss")]

    @property
    def has_one_split(self) -> bool:
        """Return whether all seeds have the same split, as with given folders."""
        return len({result.split for result in self.results}) == 1

    def values(self, metric: Metric) -> list[float]:
        """Return a metric of the fine-tuned model for each seed."""
        return [result.value(metric) for result in self.results]


def name(repeats: str, seed: int) -> str:
    """Return the name of the experiment of a seed, such as `repeat-seed0001`."""
    return f"{repeats}-seed{seed:04d}"


def parameters(seed: int) -> dict[str, int]:
    """Return the parameters of a seed."""
    return dict.fromkeys(SEEDS, seed)


def commits(repeats: str, baseline: str) -> dict[int, str]:
    """Return the commits of the experiments that started from a commit, by ascending seed."""
    matches = {
        re.fullmatch(rf"{re.escape(repeats)}-seed(\d{{4,}})", experiment): commit
        for experiment, commit in git.commits_of(baseline).items()
    }
    return dict(sorted((int(match[1]), commit) for match, commit in matches.items() if match))


def find(repeats: str) -> Repeats:
    """Return the repeats with a name: those that started from the present commit, or the only ones.

    Raises SeedlingsError if there are none, or if those of several other commits have the name.
    """
    found = {
        baseline: seeds
        for baseline in {experiment.baseline for experiment in git.experiments()}
        if (seeds := commits(repeats, baseline))
    }
    head = git.ask("rev-parse", "HEAD")
    own = {head: found[head]} if head in found else found
    if not own:
        raise SeedlingsError(
            f"expected experiments with names such as {name(repeats, 1)}, found none; "
            f"run `seedlings repeat {repeats}`"
        )
    if len(own) > 1:
        places = ", ".join(sorted(baseline[:7] for baseline in own))
        raise SeedlingsError(
            f"expected the repeats {repeats} of one commit, found those of {places}; check out one "
            "of them, or give each variant a name of its own"
        )
    [seeds] = own.values()
    return Repeats(repeats, tuple(read(seed, commit) for seed, commit in seeds.items()))


def read(seed: int, commit: str, tree: Mapping[str, Any] | None = None) -> Repeat:
    """Return the result of the experiment at a commit.

    Raises SeedlingsError if neither DVC's cache nor a remote has its reports, and, with a `tree` of
    parameters, if the experiment has others, but for its seeds.
    """
    revision = revisions.at(commit)
    expected = (params.flatten(tree) if tree else {}) | parameters(seed)
    different = [key for key, value in expected.items() if revision.params.get(key) != value]
    if different:
        raise SeedlingsError(
            f"expected in the experiment {revision.name} the seed {seed} and else the parameters "
            f"of the commit from which it started, found another {', '.join(different)}; choose "
            "another NAME, or remove it with `dvc exp remove`"
        )
    with revision.files(_RECORDS) as folder:
        evaluated, divided = (records.read(folder / path) for path in _RECORDS)
    return Repeat(
        seed=seed,
        params=revision.params,
        metrics=evaluated.metrics,
        training=int(divided.metrics["train"]),
        images=revision.outputs[paths.RAW.as_posix()],
        split=revision.outputs[paths.SPLIT.as_posix()],
    )
